/**
 * Installing the filter of system calls and handing its listener to the supervisor, as one piece of machine code.
 *
 * Between the two nobody answers a trapped call, and JavaScript cannot do without: a collection of garbage or the end of
 * a compilation frees memory at any time, the allocator gives it back by madvise(2) or munmap(2), those are trapped, and
 * the process would wait for a supervisor that waits for it.
 */
import { addressForGood, callAt, mapCode, setPointer } from '../sys/ffi.ts';
import { preparedMessage } from '../sys/libc.ts';
import { NR } from '../sys/numbers.ts';

/** What the code reads, and where it leaves the two results: 64-bit words. */
const WORDS = {
  operation: 0,
  flags: 8,
  program: 16,
  listener: 24,
  descriptorAt: 32,
  socket: 40,
  message: 48,
  sent: 56,
} as const;

/** What came of it. */
export interface Installed {
  /** The listener, or minus an errno: then nothing is installed. */
  readonly listener: number;
  /** What sendmsg(2) said. */
  readonly sent: number;
}

/** Arguments of seccomp(2). */
export interface FilterCall {
  readonly operation: number;
  readonly flags: number;
  readonly program: Buffer;
}

/** seccomp(operation, flags, program), and if that gives a listener, sendmsg() of it over the socket. */
export function installFilter(how: FilterCall, socket: number): Installed {
  const { header, descriptor } = preparedMessage();
  const words = Buffer.alloc(64);
  const set = (at: number, value: number): void => {
    words.writeBigInt64LE(BigInt(value), at);
  };
  set(WORDS.operation, how.operation);
  set(WORDS.flags, how.flags);
  setPointer(words, WORDS.program, how.program);
  setPointer(words, WORDS.descriptorAt, descriptor);
  set(WORDS.socket, socket);
  setPointer(words, WORDS.message, header);
  callAt(mapCode(code(addressForGood(words))));
  const result = (at: number): number => Number(words.readBigInt64LE(at));
  return { listener: result(WORDS.listener), sent: result(WORDS.sent) };
}

/** rbx holds the address of the words. */
function code(words: number): Buffer {
  const address = Buffer.alloc(8);
  address.writeBigUInt64LE(BigInt(words));
  const u32 = (value: number): number[] => [value & 0xff, (value >> 8) & 0xff, 0, 0];
  const send = [
    ...[0x48, 0x8b, 0x4b, WORDS.descriptorAt], //  mov rcx, [rbx + descriptorAt]
    ...[0x89, 0x01], //                            mov [rcx], eax
    ...[0xb8, ...u32(NR.sendmsg)], //              mov eax, sendmsg
    ...[0x48, 0x8b, 0x7b, WORDS.socket], //        mov rdi, [rbx + socket]
    ...[0x48, 0x8b, 0x73, WORDS.message], //       mov rsi, [rbx + message]
    ...[0x31, 0xd2], //                            xor edx, edx
    ...[0x0f, 0x05], //                            syscall
    ...[0x48, 0x89, 0x43, WORDS.sent], //          mov [rbx + sent], rax
  ];
  return Buffer.from([
    0x53, //                                       push rbx
    ...[0x48, 0xbb, ...address], //                mov rbx, words
    ...[0xb8, ...u32(NR.seccomp)], //              mov eax, seccomp
    ...[0x48, 0x8b, 0x7b, WORDS.operation], //     mov rdi, [rbx + operation]
    ...[0x48, 0x8b, 0x73, WORDS.flags], //         mov rsi, [rbx + flags]
    ...[0x48, 0x8b, 0x53, WORDS.program], //       mov rdx, [rbx + program]
    ...[0x0f, 0x05], //                            syscall
    ...[0x48, 0x89, 0x43, WORDS.listener], //      mov [rbx + listener], rax
    ...[0x48, 0x85, 0xc0], //                      test rax, rax
    ...[0x78, send.length], //                     js end
    ...send,
    0x5b, //                                  end: pop rbx
    0xc3, //                                       ret
  ]);
}
