/**
 * ptrace, for the two things nothing else can do: emulating loads and stores of registers, and making a waiting thread
 * run a system call of ours (injection.ts). Only SEIZE is used, so that a program is never stopped when it need not be.
 */
import { syscall, type Argument, type SyscallArgument } from './ffi.ts';
import { iovec } from './libc.ts';
import { HOST_ERRNO, NR, SIGTRAP } from './numbers.ts';
import { hasEnded, threadsOf } from './procfs.ts';
import { promptSeize } from './prompt-seize.ts';

/** Requests, by number. */
export const REQUEST = {
  cont: 7,
  step: 9,
  getRegs: 12,
  setRegs: 13,
  detach: 17,
  untilSyscall: 24,
  getEventMessage: 0x4201,
  getSigInfo: 0x4202,
  setSigInfo: 0x4203,
  getRegSet: 0x4204,
  setRegSet: 0x4205,
  interrupt: 0x4207,
  listen: 0x4208,
  getSigMask: 0x420a,
  setSigMask: 0x420b,
} as const;
const TRACE = { sysGood: 1, fork: 2, vfork: 4, clone: 8, exec: 0x10, exit: 0x40 } as const;
/** Children are traced from their first instruction. */
const OPTIONS = TRACE.sysGood | TRACE.clone | TRACE.fork | TRACE.vfork | TRACE.exec | TRACE.exit;
/** For a thread that makes calls for us and is let go again (injection.ts). */
export const INJECTION_OPTIONS = TRACE.sysGood | TRACE.exec;
/** Of a stop: what is in the upper half of its status. */
export const EVENT = { fork: 1, vfork: 2, clone: 3, exec: 4, exit: 6, stop: 128 } as const;
/** The signal of a stop where a system call begins or ends (PTRACE_O_TRACESYSGOOD). */
export const SYSCALL_STOP = SIGTRAP | 0x80;
/** A mask that holds back all that can be held back. */
export const ALL_SIGNALS = (1n << 64n) - 1n;
/** Does a wait status say that a thread has stopped, not ended? */
export function isStopped(status: number): boolean {
  return (status & 0xff) === 0x7f;
}
/** The set of registers that is an XSAVE area. */
export const NT_X86_XSTATE = 0x202;

/** Byte offsets in struct user_regs_struct. */
export const REGS = {
  rbx: 40,
  r10: 56,
  r9: 64,
  r8: 72,
  rax: 80,
  rcx: 88,
  rdx: 96,
  rsi: 104,
  rdi: 112,
  origRax: 120,
  rip: 128,
  eflags: 144,
  rsp: 152,
  fsBase: 168,
  gsBase: 176,
} as const;
/** Bytes of struct user_regs_struct. */
export const REGS_SIZE = 216;
const ARGUMENTS = [REGS.rdi, REGS.rsi, REGS.rdx, REGS.r10, REGS.r8, REGS.r9];

/** The registers of a thread that is about to make a call, with all six arguments, by the `syscall` instruction at `rip`. */
export function registersForCall(
  saved: Buffer,
  rip: bigint,
  nr: number,
  args: readonly SyscallArgument[],
): Buffer {
  const regs = Buffer.from(saved);
  regs.writeBigInt64LE(BigInt(nr), REGS.rax);
  regs.writeBigInt64LE(-1n, REGS.origRax);
  regs.writeBigUInt64LE(rip, REGS.rip);
  ARGUMENTS.forEach((at, n) => {
    regs.writeBigInt64LE(BigInt.asIntN(64, BigInt(args[n]!)), at);
  });
  return regs;
}

function ptrace(request: number, tid: number, addr: number, data: Argument): number {
  return syscall(NR.ptrace, request, tid, addr, data);
}
/** PTRACE_SEIZE: 0, or minus an errno (EPERM: somebody else traces it; EINTR: prompt-seize.ts). */
export function seize(tid: number, options: number = OPTIONS): number {
  return promptSeize(tid, options);
}
/** PTRACE_INTERRUPT: it stops soon. */
export function interrupt(tid: number): number {
  return ptrace(REQUEST.interrupt, tid, 0, 0);
}
/** PTRACE_DETACH: it goes on untraced, with the signal it is to get. */
export function detach(tid: number, signal = 0): number {
  return ptrace(REQUEST.detach, tid, 0, signal);
}
/** PTRACE_CONT, with the signal it is to get. */
export function resume(tid: number, signal = 0): number {
  return ptrace(REQUEST.cont, tid, 0, signal);
}
/** PTRACE_SYSCALL: on to where its next system call begins or ends, with the signal it is to get. */
export function untilSyscall(tid: number, signal = 0): number {
  return ptrace(REQUEST.untilSyscall, tid, 0, signal);
}
/** Does a wait status say that a thread has stopped because its process has: a group stop, told to who has seized it? */
export function isGroupStop(status: number): boolean {
  return status >>> 16 === EVENT.stop && ((status >> 8) & 0xff) !== SIGTRAP;
}
/** ERESTARTSYS, the first, to ERESTART_RESTARTBLOCK: the kernel's own results of calls that a signal has interrupted. */
const RESTARTS = { first: -512, last: -516 } as const;
/** Is the result of a call that it is to be made again, or to end as the signal says? */
export function isInterrupted(result: number): boolean {
  return result <= RESTARTS.first && result >= RESTARTS.last;
}
/** PTRACE_SINGLESTEP: it makes one instruction, a system call as a whole, and stops with a SIGTRAP that the kernel forces. */
export function step(tid: number, signal = 0): number {
  return ptrace(REQUEST.step, tid, 0, signal);
}
/** PTRACE_LISTEN: a thread in a group stop stays in it. */
export function listen(tid: number): number {
  return ptrace(REQUEST.listen, tid, 0, 0);
}
/** PTRACE_GETREGS into a struct user_regs_struct. */
export function getRegs(tid: number, regs: Uint8Array): number {
  return ptrace(REQUEST.getRegs, tid, 0, regs);
}
/** PTRACE_SETREGS from one. */
export function setRegs(tid: number, regs: Uint8Array): number {
  return ptrace(REQUEST.setRegs, tid, 0, regs);
}
/** What is told of the signal at whose delivery a thread has stopped. */
export interface SignalCause {
  /** si_code: positive when the kernel itself sent it. */
  readonly code: number;
  /** si_addr, of a SIGBUS or SIGSEGV. */
  readonly address: bigint;
}
/** Bytes of siginfo_t. */
export const SIGINFO_SIZE = 128;
/** Byte offset of si_addr in it. */
export const FAULT_ADDRESS = 16;
/** PTRACE_GETSIGINFO */
export function signalCause(tid: number): SignalCause {
  const info = Buffer.alloc(SIGINFO_SIZE);
  ptrace(REQUEST.getSigInfo, tid, 0, info);
  return causeIn(info);
}
/** PTRACE_GETEVENTMSG of a stop where a system call begins. */
const SYSCALL_ENTRY = 1;
const SECCOMP_STOP = SIGTRAP | (7 << 8);
/** Has a thread stopped where its system call is yet to be made? By the siginfo_t and the message of the stop. */
export function isBeforeCall(info: Buffer, message: Buffer): boolean {
  const { code } = causeIn(info);
  const isSyscall = code === SIGTRAP || code === SYSCALL_STOP;
  return isSyscall ? message.readBigUInt64LE() === BigInt(SYSCALL_ENTRY) : code === SECCOMP_STOP;
}
/** si_code of what no address is told of, such as a frame of a handler for which the stack has no room. */
export const SI_KERNEL = 0x80;
/** Will the kernel send it again, with all that is told of it, when the instruction is made again? */
export function isByInstruction({ code }: Pick<SignalCause, 'code'>): boolean {
  return code > 0 && code < SI_KERNEL;
}
/** What a siginfo_t says. */
export function causeIn(info: Buffer): SignalCause {
  return { code: info.readInt32LE(8), address: info.readBigUInt64LE(FAULT_ADDRESS) };
}
/** PTRACE_GETSIGMASK: the signals a thread blocks, the first in bit 0. */
export function signalMask(tid: number): bigint {
  const mask = Buffer.alloc(8);
  ptrace(REQUEST.getSigMask, tid, mask.length, mask);
  return mask.readBigUInt64LE();
}
/** PTRACE_SETSIGMASK */
export function setSignalMask(tid: number, mask: bigint): void {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(mask);
  ptrace(REQUEST.setSigMask, tid, bytes.length, bytes);
}
/** PTRACE_GETEVENTMSG: of a fork, the child. */
export function eventMessage(tid: number): number {
  const message = Buffer.alloc(8);
  ptrace(REQUEST.getEventMessage, tid, 0, message);
  return Number(message.readBigUInt64LE());
}
/** The signal at whose delivery a thread has stopped becomes another one, about an address. */
export function setFault(
  tid: number,
  fault: { readonly signal: number; readonly code: number; readonly address: bigint },
): number {
  return ptrace(REQUEST.setSigInfo, tid, 0, faultInfo(fault));
}
/** The siginfo_t of a fault. */
export function faultInfo(fault: {
  readonly signal: number;
  readonly code: number;
  readonly address: bigint;
}): Buffer {
  const info = Buffer.alloc(SIGINFO_SIZE);
  info.writeInt32LE(fault.signal, 0);
  info.writeInt32LE(fault.code, 8);
  info.writeBigUInt64LE(BigInt.asUintN(64, fault.address), FAULT_ADDRESS);
  return info;
}
/** XSAVE area: returns its length, or minus an errno. */
export function getVectorState(tid: number, into: Uint8Array): number {
  const iov = iovec(into);
  const rc = ptrace(REQUEST.getRegSet, tid, NT_X86_XSTATE, iov);
  return rc < 0 ? rc : Number(iov.readBigUInt64LE(8));
}
/** PTRACE_SETREGSET of NT_X86_XSTATE. */
export function setVectorState(tid: number, from: Uint8Array): number {
  const iov = iovec(from);
  return ptrace(REQUEST.setRegSet, tid, NT_X86_XSTATE, iov);
}

/** Attach to every thread of a process. Returns minus the errno of the first refusal, or 0. */
export function seizeProcess(pid: number, seized: Set<number>): number {
  const ended = new Set<number>();
  for (;;) {
    const fresh = threadsOf(pid).filter((tid) => !seized.has(tid) && !ended.has(tid));
    if (fresh.length === 0) return 0;
    for (const tid of fresh) {
      const rc = seize(tid);
      if (rc >= 0) seized.add(tid);
      else if (rc === -HOST_ERRNO.ESRCH || hasEnded(tid)) ended.add(tid);
      else return rc;
    }
  }
}
