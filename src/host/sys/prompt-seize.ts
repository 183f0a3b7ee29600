/**
 * PTRACE_SEIZE that does not wait for a program.
 *
 * The kernel takes a lock of the thread's process for it that an exec holds from its beginning to its end (cred_guard_mutex): as
 * long as a lease, a file system of the program's own or another tracer keeps the exec. The wait ends with a signal only, and
 * then begins anew by itself. So a timer sends this thread one, and its handler, a few instructions of ours, takes a call that
 * was interrupted past its `syscall`, with EINTR: nothing was done, and somebody else can be served before it is tried again.
 */
import { functionAt, handleSignalAt, mapCode, syscall } from './ffi.ts';
import { u32, u64 } from './machine-code.ts';
import { HOST_ERRNO, NR, PTRACE } from './numbers.ts';
import { notShort } from './shortage.ts';

/** SIGRTMAX: of those that nobody sends us. */
const SIGNAL = 64;
/** An exec that nothing keeps is over by then, mostly. */
const MOST_NS = 2_000_000;
const CLOCK_MONOTONIC = 1;
const SIGEV_THREAD_ID = 4;
const SIG_UNBLOCK = 1;
const MASK_SIZE = 8;
/** Of struct ucontext: where the registers have rax and rip. */
const UCONTEXT = { rax: 144, rip: 168 } as const;

interface Seizer {
  /** The four arguments of ptrace(2). */
  readonly list: Buffer;
  readonly run: (list: Uint8Array) => number;
  readonly timer: number;
  readonly times: Buffer;
}
let seizer: Seizer | undefined;

/** For the thread that calls it, which is to seize; once. HostError: the host lets no machine code of ours run. */
export function preparePromptSeize(): void {
  seizer ??= makeSeizer();
}
function makeSeizer(): Seizer {
  const { code, syscallAt } = seizeCode();
  const at = mapCode(code);
  handleSignalAt(SIGNAL, mapCode(handlerCode(at + syscallAt)));
  const mask = Buffer.alloc(MASK_SIZE);
  mask.writeBigUInt64LE(1n << BigInt(SIGNAL - 1));
  syscall(NR.rt_sigprocmask, SIG_UNBLOCK, mask, 0, MASK_SIZE);
  return {
    ...{ list: Buffer.alloc(32), run: functionAt(at) },
    ...{ timer: makeTimer(), times: Buffer.alloc(32) },
  };
}
/** It sends the signal to this thread. */
function makeTimer(): number {
  const event = Buffer.alloc(64);
  event.writeInt32LE(SIGNAL, 8);
  event.writeInt32LE(SIGEV_THREAD_ID, 12);
  event.writeInt32LE(syscall(NR.gettid), 16);
  const id = Buffer.alloc(4);
  notShort(syscall(NR.timer_create, CLOCK_MONOTONIC, event, id));
  return id.readInt32LE(0);
}

/** Seize a thread: 0, or minus an errno; EINTR: its process is in an exec that goes on, and may be asked again. */
export function promptSeize(tid: number, options: number): number {
  if (!seizer) return syscall(NR.ptrace, PTRACE.seize, tid, 0, options);
  const { list, run } = seizer;
  [PTRACE.seize, tid, 0, options].forEach((argument, n) => {
    list.writeBigInt64LE(BigInt(argument), n * 8);
  });
  signalIn(seizer, MOST_NS);
  const rc = run(list);
  signalIn(seizer, 0);
  return rc;
}
/** 0: not any more. */
function signalIn({ timer, times }: Seizer, ns: number): void {
  times.writeBigInt64LE(BigInt(ns), 24);
  syscall(NR.timer_settime, timer, 0, times, 0);
}

/** Thrown where that is no answer: what was to be done is to be done again. */
export class KeptByExec extends Error {
  override name = 'KeptByExec';
}
/** Is it an exec of the thread's process that keeps it from being seized? */
export function isKeptByExec(rc: number): boolean {
  return rc === -HOST_ERRNO.EINTR;
}

/** The list is in rdi. */
function seizeCode(): { readonly code: Buffer; readonly syscallAt: number } {
  const begin = [
    ...[0x4c, 0x8b, 0x57, 0x18], //    mov r10, [rdi + 24]
    ...[0x48, 0x8b, 0x57, 0x10], //    mov rdx, [rdi + 16]
    ...[0x48, 0x8b, 0x77, 0x08], //    mov rsi, [rdi + 8]
    ...[0x48, 0x8b, 0x3f], //          mov rdi, [rdi]
    ...[0xb8, ...u32(NR.ptrace)], //   mov eax, ptrace
  ];
  return { code: Buffer.from([...begin, 0x0f, 0x05, 0xc3]), syscallAt: begin.length };
}
/** A call that is yet to be made, at `at`, is made no more. Anywhere else nothing happens. */
function handlerCode(at: number): Buffer {
  return Buffer.from([
    ...[0x48, 0xb9, ...u64(at)], //                                       mov rcx, at
    ...[0x48, 0x39, 0x8a, ...u32(UCONTEXT.rip)], //                       cmp [rdx + rip], rcx
    ...[0x75, 0x13], //                                                   jne out
    ...[0x48, 0x83, 0x82, ...u32(UCONTEXT.rip), 0x02], //                 add qword [rdx + rip], 2
    ...[0x48, 0xc7, 0x82, ...u32(UCONTEXT.rax), ...u32(2 ** 32 - HOST_ERRNO.EINTR)], // mov qword [rdx + rax], -EINTR
    0xc3, //                                                        out:  ret
  ]);
}
