/**
 * The launcher of a run that shows its tree by traps, while nothing is to be done: a program of 1.3 KB, made here, in place
 * of another Node, which costs a run 100 ms of processor time.
 *
 * It reaps, tells softiommu of each process that has ended (launcher-reports.ts), and holds the listener it is lent. When
 * softiommu is gone or asks for the end by SIGTERM, it executes the command line it was given, with its environment: Node, which
 * knows how a run is ended (launcher-main.ts) and is the same process, with the same children.
 *
 * It needs no memory but its stack. Slow twin: launcher-main.ts with `start`, for hosts that let no such file be executed.
 */
import { u32 } from '../sys/machine-code.ts';
import { POLLIN, WALL, WNOHANG } from '../sys/libc.ts';
import { NR, SIG_IGN, SIG_SETMASK, SIGCHLD, SIGTERM } from '../sys/numbers.ts';
import { ALONE, RUNNING } from './launcher-reports.ts';

/** On the stack, by the offset from rsp. */
const AT = {
  report: 0,
  status: 4,
  mask: 8,
  poll: 16,
  action: 32,
  signal: 64,
  message: 192,
} as const;
const STACK = 320;
const POLLFD = { size: 8, events: 4, revents: 6 } as const;
const SIGNALFD_SIGINFO = 128;
const SFD_NONBLOCK = 0o4000;
const SFD_CLOEXEC = 0o2000000;
const REPORT = 8;
/** struct msghdr, with what it points to behind it. */
const MESSAGE = { iov: 16, iovCount: 24, control: 32, controlLength: 40, size: 56 } as const;
const IOV = AT.message + MESSAGE.size;
const CONTROL = { at: IOV + 16, length: 24 } as const;
const DATA = CONTROL.at + CONTROL.length;

/** A place of the stack. */
type Place = { readonly rsp: number };
const place = (rsp: number): Place => ({ rsp });
type Operand = number | Place;

/** Instructions, with jumps to labels. */
class Code {
  readonly #bytes: number[] = [];
  readonly #labels = new Map<string, number>();
  readonly #jumps: { readonly at: number; readonly to: string }[] = [];

  emit(...bytes: readonly number[]): void {
    this.#bytes.push(...bytes);
  }
  label(name: string): void {
    this.#labels.set(name, this.#bytes.length);
  }
  /** Of the long form, whose operand is 32 bits. */
  jump(opcode: readonly number[], to: string): void {
    this.emit(...opcode, 0, 0, 0, 0);
    this.#jumps.push({ at: this.#bytes.length - 4, to });
  }
  /** 32 bits of the stack. */
  store(at: number, value: number): void {
    this.emit(0xc7, 0x84, 0x24, ...u32(at), ...u32(value >>> 0)); // mov dword [rsp + at], value
  }
  clear(from: number, to: number): void {
    for (let at = from; at < to; at += 4) this.store(at, 0);
  }
  /** 64 bits of it, the address of another place. */
  storeAddress(at: number, of: number): void {
    this.emit(0x48, 0x8d, 0x84, 0x24, ...u32(of)); // lea rax, [rsp + of]
    this.emit(0x48, 0x89, 0x84, 0x24, ...u32(at)); // mov [rsp + at], rax
  }
  call(nr: number, ...operands: readonly Operand[]): void {
    operands.forEach((operand, n) => this.#load(n, operand));
    this.emit(0xb8, ...u32(nr), 0x0f, 0x05); // mov eax, nr; syscall
  }
  #load(n: number, operand: Operand): void {
    const [rex, register] = ARGUMENTS[n]!;
    if (typeof operand === 'object') {
      this.emit(0x48 | (rex << 2), 0x8d, 0x84 | (register << 3), 0x24, ...u32(operand.rsp)); // lea
    } else this.emit(0x48 | rex, 0xc7, 0xc0 | register, ...u32(operand >>> 0)); // mov, the sign extended
  }
  get bytes(): Buffer {
    const bytes = Buffer.from(this.#bytes);
    for (const { at, to } of this.#jumps) bytes.writeInt32LE(this.#labels.get(to)! - (at + 4), at);
    return bytes;
  }
}
/** rdi, rsi, rdx, r10: is it one of the upper eight, and its number. */
const ARGUMENTS = [
  [0, 7],
  [0, 6],
  [0, 2],
  [1, 2],
] as const;
const JUMP = { always: [0xe9], zero: [0x0f, 0x84], notZero: [0x0f, 0x85], negative: [0x0f, 0x88] };

/** The program as an ELF file; `socket` is its descriptor of the socket to softiommu. */
export function watcherImage(socket: number): Buffer {
  const code = new Code();
  begin(code, socket);
  takeListener(code, socket);
  reap(code, socket);
  look(code);
  end(code);
  return elf(code.bytes);
}

/** r12: the arguments; r13: the environment. Two signals are read from a descriptor. */
function begin(code: Code, socket: number): void {
  code.emit(0x48, 0x8b, 0x04, 0x24); //             mov rax, [rsp]: how many arguments
  code.emit(0x4c, 0x8d, 0x64, 0x24, 0x08); //       lea r12, [rsp + 8]
  code.emit(0x4d, 0x8d, 0x6c, 0xc4, 0x08); //       lea r13, [r12 + rax * 8 + 8]
  code.emit(0x48, 0x81, 0xec, ...u32(STACK)); //    sub rsp, STACK
  code.store(AT.mask, (1 << (SIGCHLD - 1)) | (1 << (SIGTERM - 1)));
  code.store(AT.mask + 4, 0);
  code.call(NR.rt_sigprocmask, SIG_SETMASK, place(AT.mask), 0, 8);
  code.call(NR.signalfd4, -1, place(AT.mask), 8, SFD_NONBLOCK | SFD_CLOEXEC);
  code.store(AT.poll, socket);
  code.store(AT.poll + POLLFD.events, POLLIN); // and revents
  code.emit(0x89, 0x84, 0x24, ...u32(AT.poll + POLLFD.size)); // mov [rsp + …], eax
  code.store(AT.poll + POLLFD.size + POLLFD.events, POLLIN);
  report(code, socket, RUNNING);
}
function report(code: Code, socket: number, pid: number): void {
  code.store(AT.report, pid);
  code.store(AT.status, 0);
  code.call(NR.write, socket, place(AT.report), REPORT);
}

/** Nobody reads it here; it stays open when Node is executed. Where softiommu is gone nothing comes. */
function takeListener(code: Code, socket: number): void {
  code.clear(AT.message, STACK);
  code.storeAddress(AT.message + MESSAGE.iov, IOV);
  code.store(AT.message + MESSAGE.iovCount, 1);
  code.storeAddress(AT.message + MESSAGE.control, CONTROL.at);
  code.store(AT.message + MESSAGE.controlLength, CONTROL.length);
  code.storeAddress(IOV, DATA);
  code.store(IOV + 8, REPORT);
  code.call(NR.recvmsg, socket, place(AT.message), 0);
}

/** Tell of each child that has ended; when there is none any more, that is the end. */
function reap(code: Code, socket: number): void {
  code.label('reap');
  code.call(NR.wait4, -1, place(AT.status), WNOHANG | WALL, 0);
  code.emit(0x85, 0xc0); //                         test eax, eax
  code.jump(JUMP.negative, 'alone');
  code.jump(JUMP.zero, 'look');
  code.emit(0x89, 0x84, 0x24, ...u32(AT.report)); // mov [rsp + report], eax
  code.call(NR.write, socket, place(AT.report), REPORT);
  code.jump(JUMP.always, 'reap');
  code.label('alone');
  report(code, socket, ALONE);
  code.call(NR.exit_group, 0);
}
function look(code: Code): void {
  code.label('look');
  code.call(NR.poll, place(AT.poll), 2, -1);
  code.emit(0x66, 0x83, 0xbc, 0x24, ...u32(AT.poll + POLLFD.revents), 0); // cmp word [rsp + …], 0
  code.jump(JUMP.notZero, 'end');
  code.emit(0x8b, 0xbc, 0x24, ...u32(AT.poll + POLLFD.size)); // mov edi, [rsp + …]
  code.emit(0x48, 0x8d, 0xb4, 0x24, ...u32(AT.signal)); // lea rsi, [rsp + signal]
  code.emit(0xba, ...u32(SIGNALFD_SIGINFO)); //     mov edx, …
  code.emit(0xb8, ...u32(NR.read), 0x0f, 0x05); //  mov eax, read; syscall
  code.emit(0x3d, ...u32(SIGNALFD_SIGINFO)); //     cmp eax, …
  code.jump(JUMP.notZero, 'reap');
  code.emit(0x83, 0xbc, 0x24, ...u32(AT.signal), SIGTERM); // cmp dword [rsp + signal], SIGTERM
  code.jump(JUMP.notZero, 'reap');
}
/** A second SIGTERM would end Node before it can handle one. */
function end(code: Code): void {
  code.label('end');
  code.clear(AT.action, AT.signal);
  code.store(AT.action, Number(SIG_IGN));
  code.call(NR.rt_sigaction, SIGTERM, place(AT.action), 0, 8);
  code.emit(0x49, 0x8b, 0x3c, 0x24); //             mov rdi, [r12]
  code.emit(0x4c, 0x89, 0xe6); //                   mov rsi, r12
  code.emit(0x4c, 0x89, 0xea); //                   mov rdx, r13
  code.emit(0xb8, ...u32(NR.execve), 0x0f, 0x05); // mov eax, execve; syscall
  code.call(NR.exit_group, 1);
}

const BASE = 0x400000;
const EHDR = 64;
const PHDR = 56;

/** The smallest there is: one segment, which is read and executed, and a stack, which is not executed. */
function elf(code: Buffer): Buffer {
  const head = Buffer.alloc(EHDR + 2 * PHDR);
  const length = head.length + code.length;
  head.write('\x7fELF\x02\x01\x01', 'latin1'); // 64 bits, little-endian, version 1
  head.writeUInt16LE(2, 16); // ET_EXEC
  head.writeUInt16LE(62, 18); // EM_X86_64
  head.writeUInt32LE(1, 20); // version
  head.writeBigUInt64LE(BigInt(BASE + head.length), 24); // where it begins
  head.writeBigUInt64LE(BigInt(EHDR), 32); // program headers
  head.writeUInt16LE(EHDR, 52);
  head.writeUInt16LE(PHDR, 54);
  head.writeUInt16LE(2, 56); // how many
  head.writeUInt32LE(1, EHDR); // PT_LOAD
  head.writeUInt32LE(5, EHDR + 4); // read, execute
  head.writeBigUInt64LE(BigInt(BASE), EHDR + 16); // virtual address
  head.writeBigUInt64LE(BigInt(BASE), EHDR + 24);
  head.writeBigUInt64LE(BigInt(length), EHDR + 32); // in the file
  head.writeBigUInt64LE(BigInt(length), EHDR + 40); // in memory
  head.writeBigUInt64LE(0x1000n, EHDR + 48); // alignment
  head.writeUInt32LE(0x6474e551, EHDR + PHDR); // PT_GNU_STACK
  head.writeUInt32LE(6, EHDR + PHDR + 4); // read, write
  return Buffer.concat([head, code]);
}
