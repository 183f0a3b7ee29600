/**
 * Users and groups as a thread names them: its user namespace says which of ours its numbers are, and Linux tells it of no others
 * (user_namespaces(7)). Nothing is remembered: a thread may enter another one between two calls, and a map may be written late.
 */
import type { Owner } from '../../machine/files/vfs.ts';
import { callers } from '../sys/callers.ts';
import { readlink } from '../sys/libc.ts';
import { textOf } from '../sys/procfs.ts';

/** The user namespace of the run. */
const OURS = readlink('/proc/self/ns/user');
/** What stands for whom a namespace does not know. */
const OVERFLOW = {
  uid: Number(textOf('/proc/sys/kernel/overflowuid') || 65534),
  gid: Number(textOf('/proc/sys/kernel/overflowgid') || 65534),
} as const;
/** In a map: whom we do not know ourselves. */
const NOBODY_HERE = 0xffff_ffff;

type Kind = keyof typeof OVERFLOW;
/** Numbers that stand for as many others, in their order. */
interface Extent {
  readonly theirs: number;
  readonly ours: number;
  readonly count: number;
}
/** Undefined: the numbers are ours. */
type IdMap = readonly Extent[] | undefined;
const SAME = { uid: undefined, gid: undefined } as const;

/** Whose something is, as the thread has it: the overflow ids where it has none. */
export function ownerFor(tid: number, owner: Owner): Owner {
  const { uid, gid } = mapsOf(tid);
  return { uid: idFor('uid', owner.uid, uid), gid: idFor('gid', owner.gid, gid) };
}
function idFor(kind: Kind, ours: number, map: IdMap): number {
  if (!map) return ours;
  const known = map.find((extent) => isIn(ours, extent.ours, extent.count));
  return known ? known.theirs + (ours - known.ours) : OVERFLOW[kind];
}
/** Of chown(2), -1 leaving one as it is: undefined where a number means nobody. */
export function ownerFrom(tid: number, to: Owner): Owner | undefined {
  const maps = mapsOf(tid);
  const [uid, gid] = [idFrom(to.uid, maps.uid), idFrom(to.gid, maps.gid)];
  return uid === undefined || gid === undefined ? undefined : { uid, gid };
}
function idFrom(given: number, map: IdMap): number | undefined {
  if (given === -1) return given;
  const theirs = given >>> 0;
  if (!map) return theirs;
  const known = map.find((extent) => isIn(theirs, extent.theirs, extent.count));
  return known && known.ours + (theirs - known.theirs);
}
function isIn(id: number, first: number, count: number): boolean {
  return id >= first && id - first < count;
}

/** Of users and of groups. Of another thread that has the number by now, nothing is known. */
function mapsOf(tid: number): Readonly<Record<Kind, IdMap>> {
  const namespace = readlink(`/proc/${tid}/ns/user`);
  if (namespace === OURS) return SAME;
  const [uid, gid] = [textOf(`/proc/${tid}/uid_map`), textOf(`/proc/${tid}/gid_map`)];
  if (callers.isGone(tid)) return { uid: [], gid: [] };
  const mapIn = (text: string, kind: Kind): IdMap => {
    // Whoever may not be looked into has a map all the same: an equal one is taken to be of our own namespace.
    const isOurs = typeof namespace === 'number' && text === textOf(`/proc/self/${kind}_map`);
    return isOurs ? undefined : extentsIn(text);
  };
  return { uid: mapIn(uid, 'uid'), gid: mapIn(gid, 'gid') };
}
/** The lines of a uid_map or gid_map, as one reads that is in another user namespace. */
function extentsIn(text: string): readonly Extent[] {
  return [...text.matchAll(/^\s*(\d+)\s+(\d+)\s+(\d+)$/gm)]
    .map(([, theirs, ours, count]) => ({
      theirs: Number(theirs),
      ours: Number(ours),
      count: Number(count),
    }))
    .filter(({ ours }) => ours !== NOBODY_HERE);
}
