/**
 * Copying VFIO's structs in and out: the argsz rule and capability chains (vfio.md 0).
 *
 * The fixed part is copied first (EFAULT), then argsz is compared with the smallest size (EINVAL). What is written
 * back never exceeds argsz.
 */
import { EFAULT, EINVAL, isErrno, type Result, type Status } from '../base/errno.ts';
import { refuse } from '../base/refuse.ts';
import type { Fields, Struct, View } from '../base/struct.ts';
import type { Task } from '../base/task.ts';

const U64 = (1n << 64n) - 1n;

export function copyFromUser(task: Task, at: bigint, length: number): Result<Uint8Array, 'EFAULT'> {
  const into = new Uint8Array(length);
  const rc = task.mem.read(at & U64, into);
  if (rc) return refuse(EFAULT, 'the argument cannot be read', { at, length });
  return into;
}
export function copyToUser(task: Task, at: bigint, from: Uint8Array): Status<'EFAULT'> {
  if (from.length === 0 || !task.mem.write(at & U64, from)) return undefined;
  return refuse(EFAULT, 'the argument cannot be written', { at, length: from.length });
}

/** A view of the whole struct, of which the first `min` bytes came from the caller; the rest is zero. */
export function readArg<F extends Fields & { argsz: Fields[string] }>(
  task: Task,
  arg: bigint,
  type: Struct<F>,
  min: number,
): Result<View<F>> {
  const given = copyFromUser(task, arg, min);
  if (isErrno(given)) return given;
  const whole = new Uint8Array(type.size);
  whole.set(given);
  const argsz = new DataView(whole.buffer).getUint32(0, true);
  if (argsz < min) return refuse(EINVAL, 'argsz is smaller than the struct', { argsz, min });
  return type.view(whole);
}

/** The tail a newer, longer caller gave: `view` then holds min(argsz, size) bytes of it. */
export function readRest<F extends Fields>(
  task: Task,
  arg: bigint,
  view: View<F>,
  from: number,
  to: number,
): Status<'EFAULT'> {
  if (to <= from) return undefined;
  const rest = copyFromUser(task, arg + BigInt(from), to - from);
  if (isErrno(rest)) return rest;
  view.bytes.set(rest, from);
  return undefined;
}

/** One entry of a capability chain: id, version and the bytes after its 8-byte header. */
export interface InfoCap {
  readonly id: number;
  readonly version: number;
  readonly body: Uint8Array;
}

/** The chain as bytes that begin at `base` of the info buffer; every entry is padded to 8. */
export function capChain(caps: readonly InfoCap[], base: number): Uint8Array {
  const padded = caps.map((cap) => (8 + cap.body.length + 7) & ~7);
  const out = new Uint8Array(padded.reduce((sum, n) => sum + n, 0));
  const view = new DataView(out.buffer);
  let at = 0;
  for (const [n, cap] of caps.entries()) {
    const next = at + padded[n]!;
    view.setUint16(at, cap.id, true);
    view.setUint16(at + 2, cap.version, true);
    view.setUint32(at + 4, n + 1 < caps.length ? base + next : 0, true);
    out.set(cap.body, at + 8);
    at = next;
  }
  return out;
}
