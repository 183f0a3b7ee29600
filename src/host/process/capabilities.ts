/**
 * Capabilities of programs on the simulated machine, where the user of the run is its root: `run --selftest`, for the
 * kernel's selftests are made for root. A program has all of them until it drops some, whatever the host gives it.
 *
 * capget(2) and capset(2) speak of these then, and the host's own set stays as it is. A child has what its parent had
 * at the fork. All threads of a process have the same.
 */
import type { Answer, Notification } from '../seccomp/notification.ts';
import { Inherited } from './inherited.ts';
import type { RemoteMemory } from './remote-memory.ts';
import { HOST_ERRNO, NR } from '../sys/numbers.ts';

interface Sets {
  readonly effective: bigint;
  readonly permitted: bigint;
  readonly inheritable: bigint;
}
/** CAP_LAST_CAP is 40. */
const ALL = (1n << 41n) - 1n;
const FULL: Sets = { effective: ALL, permitted: ALL, inheritable: 0n };
const VERSION_1 = 0x19980330;
const VERSION_2 = 0x20071026;
const VERSION_3 = 0x20080522;
const LOW = 0xffff_ffffn;

/** Words of the capability sets by the version of the header. */
const WORDS = new Map([
  [VERSION_1, 1],
  [VERSION_2, 2],
  [VERSION_3, 2],
]);

/** The sets of each process. The rules are those of capset(2). */
export class Capabilities {
  readonly #sets: Inherited<Sets>;
  /** `above`: the process that all of the run are below. */
  constructor(above: number) {
    this.#sets = new Inherited(FULL, above);
  }

  has(pid: number, cap: number): boolean {
    return ((this.#sets.of(pid).effective >> BigInt(cap)) & 1n) === 1n;
  }
  /** The process has ended. */
  forget(pid: number): void {
    this.#sets.forget(pid);
  }
  /** A process ends. */
  ending(pid: number): void {
    this.#sets.ending(pid);
  }
  /** The lines of /proc/PID/status. */
  inStatus(pid: number, status: string): string {
    const { effective, permitted, inheritable } = this.#sets.of(pid);
    const line = (name: string, set: bigint): string =>
      `${name}:\t${set.toString(16).padStart(16, '0')}`;
    return status
      .replace(/^CapInh:.*$/m, line('CapInh', inheritable))
      .replace(/^CapPrm:.*$/m, line('CapPrm', permitted))
      .replace(/^CapEff:.*$/m, line('CapEff', effective));
  }

  /** capget() or capset(). */
  handle(call: Notification, pid: number, mem: RemoteMemory): Answer {
    const header = Buffer.alloc(8);
    if (mem.readSome(call.arg(0), header) < 8) return -HOST_ERRNO.EFAULT;
    const words = WORDS.get(header.readUInt32LE(0));
    if (words === undefined) return unknownVersion(call, mem);
    const target = header.readInt32LE(4);
    const data = Buffer.alloc(12 * words);
    if (call.nr === NR.capget) {
      writeSets(data, this.#sets.of(target === 0 ? pid : target));
      return mem.write(call.arg(1), data) ? -HOST_ERRNO.EFAULT : 0;
    }
    if (![0, pid, call.tid].includes(target)) return -HOST_ERRNO.EPERM;
    const short = mem.readSome(call.arg(1), data) < data.length;
    return short ? -HOST_ERRNO.EFAULT : this.#set(pid, readSets(data));
  }
  /** The rules of capset(2) for a thread that may set its inheritable set. */
  #set(pid: number, wanted: Sets): Answer {
    const { permitted } = this.#sets.of(pid);
    const grows = (wanted.permitted & ~permitted) !== 0n;
    if (grows || (wanted.effective & ~wanted.permitted) !== 0n) return -HOST_ERRNO.EPERM;
    this.#sets.set(pid, wanted);
    return 0;
  }
}

/** The kernel tells which version it would like; that is what a capget() without data is for. */
function unknownVersion(call: Notification, mem: RemoteMemory): Answer {
  const version = Buffer.alloc(4);
  version.writeUInt32LE(VERSION_3, 0);
  if (mem.write(call.arg(0), version)) return -HOST_ERRNO.EFAULT;
  return call.nr === NR.capget && call.arg(1) === 0n ? 0 : -HOST_ERRNO.EINVAL;
}

/** struct __user_cap_data_struct[]: effective, permitted, inheritable, lower words first. */
function writeSets(data: Buffer, { effective, permitted, inheritable }: Sets): void {
  [effective, permitted, inheritable].forEach((set, field) => {
    for (let word = 0; word * 12 < data.length; word++) {
      data.writeUInt32LE(Number((set >> BigInt(32 * word)) & LOW), word * 12 + field * 4);
    }
  });
}
function readSets(data: Buffer): Sets {
  const set = (field: number): bigint => {
    let value = 0n;
    for (let word = 0; word * 12 < data.length; word++) {
      value |= BigInt(data.readUInt32LE(word * 12 + field * 4)) << BigInt(32 * word);
    }
    return value & ALL;
  };
  return { effective: set(0), permitted: set(1), inheritable: set(2) };
}
