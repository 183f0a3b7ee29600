/**
 * A copy of sysfs in an archive of tar: ustar with the extensions of pax and GNU for long names (POSIX.1-2017, pax).
 * Nothing is unpacked; files, directories and links are taken, and everything else is passed over.
 */
import { UserMistake } from '../user-mistake.ts';
import type { Tree, TreeNode } from './tree.ts';

const BLOCK = 512;
/** Fields of a header: offset, length. */
const FIELDS = {
  name: [0, 100],
  size: [124, 12],
  checksum: [148, 8],
  type: [156, 1],
  link: [157, 100],
  magic: [257, 5],
  prefix: [345, 155],
} as const;

interface Entry {
  readonly type: string;
  readonly name: string;
  readonly link: string;
  readonly data: Uint8Array;
}
/** What an entry before this one says of it. */
interface Override {
  readonly path?: string | undefined;
  readonly linkpath?: string | undefined;
}

/** Do these bytes begin with a header of tar? */
export function isTar(bytes: Buffer): boolean {
  return bytes.length >= BLOCK && field(bytes, 0, 'magic') === 'ustar';
}

/** Throws UserMistake with the offset of what is no archive. */
export function tarTree(bytes: Buffer, name: string): Tree {
  const files = new Map<string, Uint8Array>();
  const links = new Map<string, string>();
  const directories = new Map<string, Set<string>>([['', new Set()]]);
  for (const entry of entriesOf(bytes, name)) {
    const path = entry.name.split('/').filter((part) => part !== '' && part !== '.');
    if (path.length === 0 || path.includes('..')) continue;
    const key = path.join('/');
    if (entry.type === '2') links.set(key, entry.link);
    else if (entry.type === '5') childrenOf(directories, key);
    else files.set(key, entry.data);
    for (let n = path.length; n > 0; n--) {
      childrenOf(directories, path.slice(0, n - 1).join('/')).add(path[n - 1]!);
    }
  }
  return {
    name,
    node: (path) => nodeOf(path.join('/'), { files, links, directories }),
    read: (path, most) => files.get(path.join('/'))?.subarray(0, most),
  };
}

function childrenOf(directories: Map<string, Set<string>>, key: string): Set<string> {
  const known = directories.get(key) ?? new Set();
  directories.set(key, known);
  return known;
}

function nodeOf(
  key: string,
  maps: {
    readonly files: ReadonlyMap<string, Uint8Array>;
    readonly links: ReadonlyMap<string, string>;
    readonly directories: ReadonlyMap<string, ReadonlySet<string>>;
  },
): TreeNode | undefined {
  const target = maps.links.get(key);
  if (target !== undefined) return { kind: 'link', target };
  const names = maps.directories.get(key);
  if (names) return { kind: 'directory', names: [...names] };
  return maps.files.has(key) ? { kind: 'file' } : undefined;
}

/** Types whose entries are taken; hard links, devices and pipes are not. */
const TAKEN = ['0', '\0', '2', '5', '7'];

function* entriesOf(bytes: Buffer, name: string): Generator<Entry> {
  let override: Override = {};
  for (let at = 0; at + BLOCK <= bytes.length;) {
    const block = bytes.subarray(at, at + BLOCK);
    if (block.every((byte) => byte === 0)) return;
    if (!checksumFits(block)) throw new UserMistake(`${name}: byte ${at}: no header of tar`);
    const size = sizeOf(bytes, at);
    const end = at + BLOCK + size;
    if (end > bytes.length) throw new UserMistake(`${name}: byte ${at}: the archive is cut off`);
    const data = bytes.subarray(at + BLOCK, end);
    const type = String.fromCharCode(bytes[at + FIELDS.type[0]]!);
    const more = overrideOf(type, data);
    if (more) override = { ...override, ...more };
    else {
      if (TAKEN.includes(type)) yield entryAt(bytes, at, { type, data, override });
      override = {};
    }
    at = at + BLOCK + Math.ceil(size / BLOCK) * BLOCK;
  }
  // Blocks of zeros end an archive.
  throw new UserMistake(`${name}: the archive is cut off`);
}

function entryAt(
  bytes: Buffer,
  at: number,
  { type, data, override }: { type: string; data: Uint8Array; override: Override },
): Entry {
  const prefix = field(bytes, at, 'prefix');
  const short = field(bytes, at, 'name');
  // GNU's own headers have other things where the prefix is.
  const isPosix = bytes[at + FIELDS.magic[0] + FIELDS.magic[1]] === 0;
  return {
    type,
    data,
    name: override.path ?? (isPosix && prefix !== '' ? `${prefix}/${short}` : short),
    link: override.linkpath ?? field(bytes, at, 'link'),
  };
}

/** Undefined: an entry of its own. */
function overrideOf(type: string, data: Buffer): Override | undefined {
  if (type === 'L') return { path: untilNul(data) };
  if (type === 'K') return { linkpath: untilNul(data) };
  if (type === 'g') return {};
  return type === 'x' ? paxRecords(data) : undefined;
}

/** 'LENGTH key=value\n', one after the other. */
function paxRecords(data: Buffer): Override {
  const found = new Map<string, string>();
  for (let at = 0; at < data.length;) {
    const space = data.indexOf(0x20, at);
    const length = space < 0 ? NaN : Number(data.toString('latin1', at, space));
    if (!Number.isInteger(length) || length <= space - at || at + length > data.length) break;
    const [key = '', ...value] = data.toString('utf8', space + 1, at + length - 1).split('=');
    found.set(key, value.join('='));
    at += length;
  }
  const path = found.get('path');
  const linkpath = found.get('linkpath');
  return { ...(path !== undefined && { path }), ...(linkpath !== undefined && { linkpath }) };
}

function untilNul(bytes: Buffer): string {
  const end = bytes.indexOf(0);
  return bytes.toString('utf8', 0, end < 0 ? bytes.length : end);
}

function field(bytes: Buffer, at: number, key: keyof typeof FIELDS): string {
  const [offset, length] = FIELDS[key];
  return untilNul(bytes.subarray(at + offset, at + offset + length));
}

/** Octal digits. Sizes that do not fit in them are larger than an archive may be. */
function sizeOf(bytes: Buffer, at: number): number {
  const text = field(bytes, at, 'size').trim();
  return /^[0-7]{0,12}$/.test(text) ? parseInt(text || '0', 8) : Infinity;
}

/** The sum of all bytes, those of the sum itself taken as spaces. */
function checksumFits(block: Buffer): boolean {
  const [offset, length] = FIELDS.checksum;
  const said = parseInt(block.toString('latin1', offset, offset + length).trim(), 8);
  let sum = 0;
  for (const [n, byte] of block.entries()) sum += n >= offset && n < offset + length ? 0x20 : byte;
  return sum === said;
}
