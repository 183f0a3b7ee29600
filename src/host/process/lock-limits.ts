/**
 * RLIMIT_MEMLOCK of programs on the simulated machine, where the user of the run has said it: `run --memlock`. It may be
 * higher than what the host gives, which stays as it is.
 *
 * getrlimit(2), setrlimit(2) and prlimit(2) speak of these limits then. A child has what its parent had at the fork.
 */
import { CAP_SYS_RESOURCE } from '../../base/task.ts';
import { U64_MAX } from '../../base/u64.ts';
import type { Answer, Notification } from '../seccomp/notification.ts';
import { HOST_ERRNO, NR } from '../sys/numbers.ts';
import type { HostCred, Ids } from './credentials.ts';
import { Inherited } from './inherited.ts';
import { RemoteMemory } from './remote-memory.ts';

/** struct rlimit: bytes, all ones for no limit. */
interface Limit {
  readonly soft: bigint;
  readonly hard: bigint;
}
const SIZE = 16;

/** What is asked about who calls (Processes). */
interface Callers {
  processOf(tid: number): number;
  mayLook(tid: number, at: number): boolean;
  cred(tid: number, ids: Ids): HostCred;
}

/** The limits of each process. */
export class LockLimits {
  readonly #limits: Inherited<Limit>;

  /** `above`: the process that all of the run are below. */
  constructor(bytes: bigint, above: number) {
    this.#limits = new Inherited({ soft: bytes, hard: bytes }, above);
  }
  /** Bytes that a process may lock. */
  softOf(pid: number): bigint {
    return this.#limits.of(pid).soft;
  }
  /** The process has ended. */
  forget(pid: number): void {
    this.#limits.forget(pid);
  }
  /** A process ends. */
  ending(pid: number): void {
    this.#limits.ending(pid);
  }
  /** The line of /proc/PID/limits. */
  inLimits(pid: number, text: string): string {
    const { soft, hard } = this.#limits.of(pid);
    const shown = (bytes: bigint): string =>
      (bytes === U64_MAX ? 'unlimited' : String(bytes)).padEnd(20);
    const line = `${'Max locked memory'.padEnd(25)} ${shown(soft)} ${shown(hard)} bytes     `;
    return text.replace(/^Max locked memory.*$/m, line);
  }

  /** getrlimit(), setrlimit() or prlimit64() of RLIMIT_MEMLOCK. */
  handle(call: Notification, processes: Callers): Answer {
    const pid = processes.processOf(call.tid);
    const { named, to, from } = placesOf(call);
    const target = named === 0 ? pid : named;
    if (target !== pid && !this.#limits.isOfRun(target)) return 'continue';
    if (target !== pid && !processes.mayLook(call.tid, target)) return -HOST_ERRNO.EPERM;
    const mem = new RemoteMemory(call.tid);
    const wanted = to === 0n ? undefined : readLimit(mem, to);
    if (wanted === 'fault') return -HOST_ERRNO.EFAULT;
    const before = this.#limits.of(target);
    const mayRaise = (): boolean => processes.cred(call.tid, 'fs').capable(CAP_SYS_RESOURCE);
    const rc = wanted ? this.#set(target, wanted, mayRaise) : 0;
    if (rc !== 0 || from === 0n) return rc;
    return mem.write(from, bytesOf(before)) ? -HOST_ERRNO.EFAULT : 0;
  }
  /** @kernel do_prlimit */
  #set(pid: number, wanted: Limit, mayRaise: () => boolean): number {
    if (wanted.soft > wanted.hard) return -HOST_ERRNO.EINVAL;
    if (wanted.hard > this.#limits.of(pid).hard && !mayRaise()) return -HOST_ERRNO.EPERM;
    this.#limits.set(pid, wanted);
    return 0;
  }
}

/** Whose limit is meant (0: the caller's), where the new one is and where the old one goes; 0: none. */
function placesOf(call: Notification): { named: number; to: bigint; from: bigint } {
  switch (call.nr) {
    case NR.getrlimit:
      return { named: 0, to: 0n, from: call.arg(1) };
    case NR.setrlimit:
      return { named: 0, to: call.arg(1), from: 0n };
    default:
      return { named: call.int(0), to: call.arg(2), from: call.arg(3) };
  }
}
function readLimit(mem: RemoteMemory, at: bigint): Limit | 'fault' {
  const bytes = Buffer.alloc(SIZE);
  if (mem.readSome(at, bytes) < SIZE) return 'fault';
  return { soft: bytes.readBigUInt64LE(0), hard: bytes.readBigUInt64LE(8) };
}
function bytesOf({ soft, hard }: Limit): Buffer {
  const bytes = Buffer.alloc(SIZE);
  bytes.writeBigUInt64LE(soft, 0);
  bytes.writeBigUInt64LE(hard, 8);
  return bytes;
}
