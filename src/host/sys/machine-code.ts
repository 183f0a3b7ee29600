import { addressForGood } from './ffi.ts';
import { NR, SIG_IGN } from './numbers.ts';

/** Operands of instructions, as bytes. */
export function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
}
/** An address, or any number of 53 bits. */
export function u64(value: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt(value));
  return bytes;
}

/** Go on at an address. */
export function goToCode(address: number): Buffer {
  return Buffer.from([0x48, 0xb8, ...u64(address), 0xff, 0xe0]); // mov rax, …; jmp rax
}
/** The end of a handler: the signal is for whoever handled it before. Where that was nobody it means its default, at once. */
export function handedOnCode(signal: number, before: bigint): Buffer {
  if (before > SIG_IGN) return goToCode(Number(before));
  const theDefault = addressForGood(Buffer.alloc(ACTION_SIZE));
  return Buffer.from([
    ...[0xb8, ...u32(NR.rt_sigaction)], //          mov eax, rt_sigaction
    ...[0xbf, ...u32(signal)], //                   mov edi, signal
    ...[0x48, 0xbe, ...u64(theDefault)], //         mov rsi, the default
    ...[0x31, 0xd2], //                             xor edx, edx
    ...[0x41, 0xba, ...u32(MASK_SIZE)], //          mov r10d, 8
    ...[0x0f, 0x05], //                             syscall
    ...[0xb8, ...u32(NR.gettid), 0x0f, 0x05], //    mov eax, gettid; syscall
    ...[0x89, 0xc7], //                             mov edi, eax
    ...[0xbe, ...u32(signal)], //                   mov esi, signal
    ...[0xb8, ...u32(NR.tkill), 0x0f, 0x05], //     mov eax, tkill; syscall
    0xc3, //                                        ret
  ]);
}
/** Of the kernel's struct sigaction, and of its mask. */
const ACTION_SIZE = 32;
const MASK_SIZE = 8;
