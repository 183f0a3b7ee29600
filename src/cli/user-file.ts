/** Files that people write, as bytes and as text; what is YAML in them: user-yaml.ts. */
import { closeSync, openSync, readSync } from 'node:fs';
import { printable } from '../machine/description/wording.ts';
import { systemReason } from '../host/sys/system-reason.ts';
import { UserMistake } from './user-mistake.ts';

/** More than a machine of the largest kind needs. */
export const LARGEST_FILE = 2 ** 18;

/** The text of a file (or pipe) in UTF-8. Throws UserMistake. */
export function readUserFile(name: string, what: string): string {
  return userText(readUserBytes(name, what, LARGEST_FILE), name);
}

/** The text that bytes of a file are in UTF-8. Throws UserMistake. */
export function userText(bytes: Buffer, name: string): string {
  const text = bytes.toString('utf8');
  const bad = bytes.includes(0) ? bytes.indexOf(0) : firstDifference(bytes, Buffer.from(text));
  if (bad === undefined) return text;
  const line = bytes.subarray(0, bad).filter((byte) => byte === 0x0a).length + 1;
  const byte = bytes[bad]!.toString(16).padStart(2, '0');
  throw new UserMistake(`${name}:${line}: this is no text in UTF-8: the byte 0x${byte}`);
}

/** All bytes of a file (or pipe), `most` of them. Throws UserMistake. */
export function readUserBytes(name: string, what: string, most: number): Buffer {
  let fd: number | undefined;
  let bytes: Buffer;
  try {
    fd = openSync(name, 'r');
    bytes = readUpTo(fd, most + 1);
  } catch (error) {
    throw new UserMistake(`${what} ${printable(name)} cannot be read: ${systemReason(error)}`);
  } finally {
    if (fd !== undefined) closeSync(fd);
  }
  if (bytes.length <= most) return bytes;
  throw new UserMistake(`${what} ${printable(name)} is larger than ${most} bytes`);
}

/** Not more than this: what is named may have no end. */
function readUpTo(fd: number, most: number): Buffer {
  const parts: Buffer[] = [];
  for (let left = most; left > 0;) {
    const part = Buffer.alloc(Math.min(left, 0x1_0000));
    const length = readSync(fd, part);
    if (length === 0) break;
    parts.push(part.subarray(0, length));
    left -= length;
  }
  return Buffer.concat(parts);
}

/** Where bytes that are no UTF-8 begin. */
function firstDifference(bytes: Buffer, again: Buffer): number | undefined {
  if (bytes.equals(again)) return undefined;
  const at = bytes.findIndex((byte, n) => byte !== again[n]);
  return at < 0 ? undefined : at;
}
