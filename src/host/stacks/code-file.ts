/**
 * Reading the file of a module for the names in it. Its path is whatever the program has mapped: so it is opened only if it
 * is that file still, if the program itself may read it, and not where a program would have to serve it (docs/security.md).
 */
import { readFileSync, statSync } from 'node:fs';
import { inflateSync } from 'node:zlib';
import type { ModuleReader } from '../../insight/sites/module.ts';
import { isPermitted, MAY_READ, type Cred } from '../../machine/files/rights.ts';
import { close, openWithoutLinks } from '../sys/libc.ts';
import { O_PATH } from '../sys/numbers.ts';
import { lookAt } from '../sys/look.ts';
import { mountTypesOn } from '../sys/mounts.ts';

/** Larger ones are not read: their names would cost more memory than they are worth. */
const LARGEST = 256 << 20;
/** What a compressed section may become. */
const LARGEST_SECTION = 256 << 20;

/** A file of code, as a program has it mapped. */
export interface MappedFile {
  readonly path: string;
  /** 'major:minor:inode' in hex and decimal, as in /proc/PID/maps. */
  readonly object: string;
  /** Of the program. */
  readonly cred: Cred;
}

/** Reads a module's file. */
export function codeReader(file: MappedFile): ModuleReader {
  return { read: () => readCode(file), inflate };
}

function inflate(bytes: Uint8Array): Uint8Array | undefined {
  try {
    return inflateSync(bytes, { maxOutputLength: LARGEST_SECTION });
  } catch {
    return undefined;
  }
}

function readCode(file: MappedFile): Uint8Array | undefined {
  const types = mountTypesOn(file.path);
  if (types.some((type) => type.startsWith('fuse'))) return undefined;
  // Nothing is opened of what it is not: to open a FIFO, a device or a terminal does something, and may wait.
  const place = openWithoutLinks(file.path, O_PATH);
  if (place < 0) return undefined;
  try {
    return isThat(place, file, types.at(-1)) ? readFileSync(`/proc/self/fd/${place}`) : undefined;
  } catch {
    return undefined; // a disk that fails, a file that has become shorter, or that is not ours to read
  } finally {
    close(place);
  }
}
function isThat(fd: number, { object, cred }: MappedFile, fileSystem: string | undefined): boolean {
  const look = lookAt(`/proc/self/fd/${fd}`);
  if (!look?.isRegular || look.size > LARGEST) return false;
  // An overlay shows the numbers of a file it has below.
  const isSame = `${look.device}:${look.ino}` === object || fileSystem === 'overlay';
  const { uid, gid, mode } = statSync(`/proc/self/fd/${fd}`);
  const owner = { uid, gid, mode: mode & 0o777, isDirectory: false };
  return isSame && isPermitted(owner, cred, MAY_READ);
}
