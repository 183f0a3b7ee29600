/**
 * Several system calls in one crossing from JavaScript: a list of steps that a few instructions of ours work off.
 *
 * A step makes a system call, copies a word of memory, or compares one; the list ends at the first comparison that does not hold. So the
 * instructions know nothing of what is called: what a list means, and what to do where it has ended, is decided by whoever
 * made it. A crossing costs 0.5 us by ffi.ts:syscall, a list 0.1 us whatever its length.
 */
import { bugOn } from '../../base/bug.ts';
import { functionAt, mapCode, setPointer, type Argument } from './ffi.ts';

/**
 * A step is eight words: the call, its six arguments, its result. Of a comparison: CHECK, where, which bits, what they are. Of a
 * copy: COPY, from where, to where.
 */
const STEP = 64;
const RESULT = 56;
const CHECK = -1;
const COPY = -2;
const ALL_BITS = 0xffff_ffff;

let code: ((first: Uint8Array) => number) | undefined;

/** Must be called once before a list is run. HostError: the host lets no machine code of ours run. */
export function prepareSteps(): void {
  code ??= functionAt(mapCode(stepsCode()));
}

/** A list of steps, each named by its number. */
export class Steps {
  readonly #bytes: Buffer;
  readonly #words: Int32Array;
  /** The list from each step on, for the code is told by it where to begin. */
  readonly #from: Uint8Array[] = [];
  readonly #most: number;
  #count = 0;

  /** `most`: so many steps it will have. */
  constructor(most: number) {
    this.#most = most;
    const memory = new ArrayBuffer((most + 1) * STEP);
    this.#bytes = Buffer.from(memory);
    this.#words = new Int32Array(memory);
    this.#endAt(0);
  }

  /** A system call. Bytes among its arguments live as long as the list, or until the argument is another. */
  call(nr: number, ...args: readonly Argument[]): number {
    const step = this.#next();
    this.#put(step, 0, nr);
    args.forEach((argument, n) => {
      this.set(step, n, argument);
    });
    return step;
  }
  /** Go on only if a call had this result: a number of 32 bits. */
  expect(call: number, result: number): number {
    const at = call * STEP + RESULT;
    return this.check(this.#bytes.subarray(at, at + 8), ALL_BITS, result);
  }
  /** Go on only if these bits of the first 32 of some bytes are so. */
  check(bytes: Uint8Array, mask: number, value: number): number {
    const step = this.#next();
    this.#put(step, 0, CHECK);
    this.set(step, 0, bytes);
    this.#put(step, 2, mask >>> 0);
    this.#put(step, 3, value >>> 0);
    return step;
  }
  /** 8 bytes from some bytes to others: what a call has found is an argument of a later one. */
  copy(from: Uint8Array, to: Uint8Array): number {
    const step = this.#next();
    this.#put(step, 0, COPY);
    this.set(step, 0, from);
    this.set(step, 1, to);
    return step;
  }
  /** Another argument of a call, the first is 0. */
  set(step: number, argument: number, value: Argument): void {
    if (typeof value === 'object') setPointer(this.#bytes, step * STEP + (argument + 1) * 8, value);
    else if (typeof value === 'bigint') this.setWord(step, argument, value);
    else this.#put(step, argument + 1, value);
  }
  /** The same for all 64 bits. */
  setWord(step: number, argument: number, value: bigint): void {
    this.#bytes.writeBigUInt64LE(BigInt.asUintN(64, value), step * STEP + (argument + 1) * 8);
  }
  /** What a call has returned: a number of 32 bits. */
  result(step: number): number {
    return this.#words[(step * STEP + RESULT) >> 2]!;
  }

  /** Work it off from a step on. The step whose comparison did not hold; `end` when all did. */
  run(from = 0): number {
    return from + code!(this.#from[from]!);
  }
  /** How many steps there are. */
  get end(): number {
    return this.#count;
  }

  #next(): number {
    bugOn(this.#count === this.#most, 'a list of steps has no room for another');
    const step = this.#count++;
    this.#words.fill(0, (step * STEP) >> 2, ((step + 1) * STEP) >> 2);
    this.#endAt(step + 1);
    return step;
  }
  /** A comparison that never holds. */
  #endAt(step: number): void {
    const at = step * STEP;
    this.#put(step, 0, CHECK);
    setPointer(this.#bytes, at + 8, this.#bytes.subarray(at));
    this.#put(step, 2, 0);
    this.#put(step, 3, 1);
    this.#from.push(this.#bytes.subarray(at));
  }
  /** A number of 53 bits and a sign. */
  #put(step: number, word: number, value: number): void {
    const at = (step * STEP + word * 8) >> 2;
    this.#words[at] = value | 0;
    this.#words[at + 1] = Math.floor(value / 2 ** 32);
  }
}

/** The first step is in rdi; the result is how many come before the one it has ended at. */
function stepsCode(): Buffer {
  return Buffer.from([
    0x53, //                       push rbx
    0x57, //                       push rdi
    ...[0x48, 0x89, 0xfb], //      mov rbx, rdi
    ...[0x48, 0x8b, 0x03], // next: mov rax, [rbx]
    ...[0x48, 0x85, 0xc0], //      test rax, rax
    ...[0x78, 0x24], //            js other
    ...[0x48, 0x8b, 0x7b, 0x08], // mov rdi, [rbx + 8]
    ...[0x48, 0x8b, 0x73, 0x10], // mov rsi, [rbx + 16]
    ...[0x48, 0x8b, 0x53, 0x18], // mov rdx, [rbx + 24]
    ...[0x4c, 0x8b, 0x53, 0x20], // mov r10, [rbx + 32]
    ...[0x4c, 0x8b, 0x43, 0x28], // mov r8, [rbx + 40]
    ...[0x4c, 0x8b, 0x4b, 0x30], // mov r9, [rbx + 48]
    ...[0x0f, 0x05], //            syscall
    ...[0x48, 0x89, 0x43, RESULT], // mov [rbx + 56], rax
    ...[0x48, 0x83, 0xc3, STEP], // on: add rbx, 64
    ...[0xeb, 0xd4], //            jmp next
    ...[0x48, 0x8b, 0x7b, 0x08], // other: mov rdi, [rbx + 8]
    ...[0x48, 0x8b, 0x4b, 0x10], // mov rcx, [rbx + 16]
    ...[0x48, 0x83, 0xf8, CHECK & 0xff], // cmp rax, CHECK
    ...[0x75, 0x16], //            jne copy
    ...[0x48, 0x23, 0x0f], //      and rcx, [rdi]
    ...[0x48, 0x3b, 0x4b, 0x18], // cmp rcx, [rbx + 24]
    ...[0x74, 0xe3], //            je on
    ...[0x48, 0x89, 0xd8], //      mov rax, rbx
    0x5f, //                       pop rdi
    ...[0x48, 0x29, 0xf8], //      sub rax, rdi
    ...[0x48, 0xc1, 0xe8, 0x06], // shr rax, 6
    0x5b, //                       pop rbx
    0xc3, //                       ret
    ...[0x48, 0x8b, 0x3f], //      copy: mov rdi, [rdi]
    ...[0x48, 0x89, 0x39], //      mov [rcx], rdi
    ...[0xeb, 0xce], //            jmp on
  ]);
}
