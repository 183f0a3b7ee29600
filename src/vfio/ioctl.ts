/**
 * Copying VFIO's structs in and out: the argsz rule and capability chains (vfio.md 0).
 *
 * The fixed part is copied first (EFAULT), then argsz is compared with the smallest size (EINVAL). What is written
 * back never exceeds argsz.
 */
import { EFAULT, EINVAL, isErrno, type Result, type Status } from '../base/errno.ts';
import { refuse } from '../base/refuse.ts';
import type { Fields, FieldType, Struct, View } from '../base/struct.ts';
import type { Task } from '../base/task.ts';
import { U64_MAX } from '../base/u64.ts';
import { vfio_info_cap_header } from '../uapi/vfio.ts';

export function copyFromUser(task: Task, at: bigint, length: number): Result<Uint8Array, 'EFAULT'> {
  const into = new Uint8Array(length);
  return copyInto(task, at, into) ?? into;
}
function copyInto(task: Task, at: bigint, into: Uint8Array): Status<'EFAULT'> {
  if (!task.mem.read(at & U64_MAX, into)) return undefined;
  return refuse(EFAULT, 'the argument cannot be read', { at, length: into.length });
}
export function copyToUser(task: Task, at: bigint, from: Uint8Array): Status<'EFAULT'> {
  if (from.length === 0 || !task.mem.write(at & U64_MAX, from)) return undefined;
  return refuse(EFAULT, 'the argument cannot be written', { at, length: from.length });
}

/**
 * A view of the whole struct, of which the caller must have what ends with the field `last`; the rest is zero.
 * EFAULT: it cannot be read; EINVAL: argsz says there is less.
 */
export function readArg<F extends ArgFields>(
  task: Task,
  arg: bigint,
  type: Struct<F>,
  last: NoInfer<keyof F>,
): Result<View<F>, 'EFAULT' | 'EINVAL'> {
  const min = type.end(last);
  const view = type.view(new Uint8Array(type.size));
  const { bytes } = view;
  const rc = copyInto(task, arg, min === bytes.length ? bytes : bytes.subarray(0, min));
  if (rc) return rc;
  const argsz = view['argsz'];
  if (argsz < min) return refuse(EINVAL, 'argsz is smaller than the struct', { argsz, min });
  return view;
}
/** Structs that say how large the caller's is. */
export type ArgFields = Fields & { readonly argsz: FieldType<number> };

/** Where the data behind a struct begins. */
export function behind(arg: bigint, type: { readonly size: number }): bigint {
  return arg + BigInt(type.size);
}

/** Bytes of the struct behind those readArg() took. */
export function readRest<F extends Fields>(
  task: Task,
  arg: bigint,
  view: View<F>,
  { from, to }: { readonly from: number; readonly to: number },
): Status<'EFAULT'> {
  if (to <= from) return undefined;
  const rest = copyFromUser(task, arg + BigInt(from), to - from);
  if (isErrno(rest)) return rest;
  view.bytes.set(rest, from);
  return undefined;
}

/** One entry of a capability chain, all of version 1. */
export interface InfoCap {
  readonly id: number;
  /** Begins with a vfio_info_cap_header, which the chain fills in. */
  readonly bytes: Uint8Array;
}

/** The chain as bytes that begin at `base` of the info buffer; every entry is padded to 8. */
export function capChain(caps: readonly InfoCap[], base: number): Uint8Array {
  const padded = caps.map(({ bytes }) => (bytes.length + 7) & ~7);
  const out = new Uint8Array(padded.reduce((sum, n) => sum + n, 0));
  let at = 0;
  for (const [n, cap] of caps.entries()) {
    const next = at + padded[n]!;
    out.set(cap.bytes, at);
    const header = vfio_info_cap_header.view(out.subarray(at));
    header.id = cap.id;
    header.version = 1;
    header.next = n + 1 < caps.length ? base + next : 0;
    at = next;
  }
  return out;
}
