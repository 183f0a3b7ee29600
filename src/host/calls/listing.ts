/**
 * Reading directories. One that is the host's and has entries of ours as well (/dev, /sys, /sys/bus): the program's own call
 * reads the host's entries, those of the same name as ours are left out, and at the end come ours. One that is ours alone:
 * the program reads the stand-in, and what it has read is told as what stat(2) says of the nodes.
 *
 * Of the first kind, how far it is, the open file description itself knows: beyond the host's entries its position counts ours, so that dup,
 * fork, seekdir and rewinddir work as they do.
 */
import { posix } from 'node:path';
import { join } from '../../machine/files/vfs.ts';
import type { DirNode, Node } from '../../machine/files/nodes.ts';
import { HOST_ERRNO, NR } from '../sys/numbers.ts';
import { textOf } from '../sys/procfs.ts';
import type { Notification } from '../seccomp/notification.ts';
import { ours, own, poke, type InjectedCall, type Script } from '../seccomp/in-thread.ts';
import { RemoteMemory } from '../process/remote-memory.ts';
import { inodeOf } from '../tree/stat.ts';

/**
 * Positions from here on count entries of ours. It is the upper end of what sysfs takes, where it has positions of its own
 * by chance only (hashes of names, 2^31 of them); other file systems count from 0.
 */
const FIRST_OURS = 0x7fff_fe00;
const MOST_OURS = 0x100;
const SEEK_SET = 0;
const SEEK_CUR = 1;

/** struct linux_dirent64, or struct linux_dirent of the older call, which has the type in its last byte. */
export const LAYOUTS = {
  new: { name: 19, typeLast: false },
  old: { name: 18, typeLast: true },
} as const;
type Layout = (typeof LAYOUTS)[keyof typeof LAYOUTS];

const TYPES: Readonly<Record<Node['kind'], number>> = { dir: 4, link: 10, attr: 8, device: 2 };

/** getdents(2) or getdents64(2) of a directory of the host that shows `node` as well. */
export function* listed(
  call: Notification,
  { path, node }: { readonly path: string; readonly node: DirNode },
): Script<number> {
  const entries = [...node.entries()].slice(0, MOST_OURS);
  const layout = call.nr === NR.getdents ? LAYOUTS.old : LAYOUTS.new;
  const listing: Listing = { call, path, entries, layout };
  const position = positionOf(call);
  if (position >= FIRST_OURS && position <= FIRST_OURS + MOST_OURS) {
    return yield* ownEntries(listing, position - FIRST_OURS);
  }
  return yield* hostsEntries(listing, position);
}

function* hostsEntries(listing: Listing, position: number): Script<number> {
  const { call, entries, layout } = listing;
  const names = new Set(entries.map(([name]) => name));
  const [fd, at, room] = [call.arg(0), call.arg(1), call.uint(2)];
  for (;;) {
    const got = yield* own(call.nr, [fd, at, room]);
    if (got < 0) return got;
    if (got === 0) return yield* ownEntries(listing, 0);
    const bytes = Buffer.alloc(got);
    if (new RemoteMemory(call.tid).read(at, bytes)) return -HOST_ERRNO.EFAULT;
    if (position === 0 && isEmpty(bytes, layout) && !(yield* takesPositions(fd))) {
      return together(listing, bytes);
    }
    const kept = without(bytes, names, layout);
    if (kept.length === got) return got;
    if (!poke(call.tid, at, kept)) return -HOST_ERRNO.EFAULT;
    if (kept.length > 0) return kept.length;
  }
}

/** getdents(2) or getdents64(2) of the stand-in of a directory. */
export function* relabelled(
  call: Notification,
  { path, node }: { readonly path: string; readonly node: DirNode },
): Script<number> {
  const layout = call.nr === NR.getdents ? LAYOUTS.old : LAYOUTS.new;
  const at = call.arg(1);
  const got = yield* own(call.nr, [call.arg(0), at, call.uint(2)]);
  if (got <= 0) return got;
  const bytes = Buffer.alloc(got);
  if (new RemoteMemory(call.tid).read(at, bytes)) return -HOST_ERRNO.EFAULT;
  for (const { name, record } of records(bytes, layout)) {
    if (name === '') continue;
    const child = node.lookup(name);
    const inode = name === '..' ? posix.dirname(path) : name === '.' ? path : join(path, name);
    record.writeBigUInt64LE(BigInt(inodeOf(inode)), 0);
    // What has gone meanwhile stays what it was.
    if (child) record.writeUInt8(TYPES[child.kind], layout.typeLast ? record.length - 1 : 18);
  }
  return poke(call.tid, at, bytes) ? got : -HOST_ERRNO.EFAULT;
}

interface Listing {
  readonly call: Notification;
  readonly path: string;
  readonly entries: readonly (readonly [string, Node])[];
  readonly layout: Layout;
}

function* ownEntries({ call, path, entries, layout }: Listing, first: number): Script<number> {
  const room = call.uint(2);
  const records: Buffer[] = [];
  let length = 0;
  let next = first;
  for (const [name, node] of entries.slice(first)) {
    const inode = inodeOf(join(path, name));
    const record = encode(layout, { name, inode, type: TYPES[node.kind], next: next + 1 });
    if (length + record.length > room) break;
    records.push(record);
    length += record.length;
    next++;
  }
  if (next === first) return first < entries.length ? -HOST_ERRNO.EINVAL : 0;
  if (!poke(call.tid, call.arg(1), Buffer.concat(records))) return -HOST_ERRNO.EFAULT;
  const rc = yield* ours(NR.lseek, call.arg(0), FIRST_OURS + next, SEEK_SET);
  // It takes no such positions: they came with the first of the host's.
  if (rc === -HOST_ERRNO.EINVAL) return 0;
  return rc < 0 ? rc : length;
}

/**
 * Mount points of sysfs and proc such as /sys/kernel/debug take no positions but those of their two entries: all of ours
 * come with these. EINVAL: there is no room for all.
 */
function together({ call, path, entries, layout }: Listing, theirs: Buffer): number {
  const records = entries.map(([name, node], n) =>
    encode(layout, { name, inode: inodeOf(join(path, name)), type: TYPES[node.kind], next: n + 1 }),
  );
  const all = Buffer.concat([theirs, ...records]);
  if (all.length > call.uint(2)) return -HOST_ERRNO.EINVAL;
  return poke(call.tid, call.arg(1), all) ? all.length : -HOST_ERRNO.EFAULT;
}
function isEmpty(bytes: Buffer, layout: Layout): boolean {
  return [...records(bytes, layout)].every(({ name }) => name === '.' || name === '..');
}
/** Can our entries be counted in a directory's position? It stays where it is. */
function* takesPositions(fd: bigint): Generator<InjectedCall, boolean, number> {
  const here = yield* ours(NR.lseek, fd, 0, SEEK_CUR);
  const rc = yield* ours(NR.lseek, fd, FIRST_OURS, SEEK_SET);
  if (rc < 0) return false;
  yield* ours(NR.lseek, fd, here, SEEK_SET);
  return true;
}

/** In bytes, or what a file system takes for it. */
function positionOf(call: Notification): number {
  const info = textOf(`/proc/${call.tid}/fdinfo/${call.int(0)}`);
  return Number(/^pos:\s*(\d+)/m.exec(info)?.[1] ?? 0);
}

function encode(
  layout: Layout,
  entry: { name: string; inode: number; type: number; next: number },
): Buffer {
  const name = Buffer.from(`${entry.name}\0`);
  const used = layout.name + name.length + (layout.typeLast ? 1 : 0);
  const record = Buffer.alloc(Math.ceil(used / 8) * 8);
  record.writeBigUInt64LE(BigInt(entry.inode), 0);
  record.writeBigUInt64LE(BigInt(FIRST_OURS + entry.next), 8);
  record.writeUInt16LE(record.length, 16);
  record.set(name, layout.name);
  record.writeUInt8(entry.type, layout.typeLast ? record.length - 1 : 18);
  return record;
}

/** The records of a buffer whose names are not among these. */
function without(bytes: Buffer, names: ReadonlySet<string>, layout: Layout): Buffer {
  const kept = [...records(bytes, layout)].filter(({ name }) => !names.has(name));
  return Buffer.concat(kept.map(({ record }) => record));
}
/** What another thread has written over is no record, and nothing after it is one: it stays as it is. */
export function* records(
  bytes: Buffer,
  layout: Layout,
): Iterable<{ readonly name: string; readonly record: Buffer }> {
  for (let at = 0; at < bytes.length;) {
    const rest = bytes.subarray(at);
    const length = rest.length > layout.name ? rest.readUInt16LE(16) : 0;
    if (length <= layout.name || length > rest.length) {
      yield { name: '', record: rest };
      return;
    }
    const record = rest.subarray(0, length);
    const end = record.indexOf(0, layout.name);
    yield { name: record.toString('utf8', layout.name, end < 0 ? length : end), record };
    at += length;
  }
}
