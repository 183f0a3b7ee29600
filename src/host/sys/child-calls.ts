/**
 * A child process that makes a list of system calls and nothing else, the last of which executes a program or ends it.
 *
 * It runs machine code of ours in our memory while we wait (as vfork(2)): no JavaScript, no allocator, no library. So
 * no call but those of the list is made in it, and we read what each of them returned.
 */
import { addressForGood, callAt, mapCode, setPointer, syscall, type Argument } from './ffi.ts';
import { u32, u64 } from './machine-code.ts';
import { CLONE_VFORK, CLONE_VM, NR, SIG_SETMASK, SIGCHLD } from './numbers.ts';

/** One call of the list. */
export interface ChildCall {
  readonly nr: number;
  readonly args?: readonly Argument[];
  /** Where the low 32 bits of the result go as well: at most two places. */
  readonly store?: readonly Pointer[];
  /** Made only if an earlier call, by its index in the list, has returned exactly this. */
  readonly onlyIf?: { readonly call: number; readonly returned: number };
}

/** The begin of some bytes, or the first argument of a later call. */
export type Pointer = Uint8Array | { readonly firstOf: number };

/** What came of it. */
export interface ChildRun {
  /** The child, or minus an errno. */
  readonly pid: number;
  /** Of each call; undefined: it was not made, or did not return. */
  readonly results: readonly (number | undefined)[];
}

const ARGUMENTS = 6;
/** A row of the table the code reads: 64-bit words. */
const ROW = {
  nr: 0,
  args: 8,
  condition: 56,
  expected: 64,
  result: 72,
  stores: 80,
  size: 96,
} as const;
/** Of a call that was not made. */
const NO_RESULT = -(1n << 63n);
const ALL_SIGNALS = Buffer.alloc(8, 0xff);

/** The list must end in a call that does not return. */
export function runInChild(calls: readonly ChildCall[]): ChildRun {
  const table = tableOf(calls);
  const pid = Buffer.alloc(8);
  const mask = Buffer.alloc(8);
  // A handler of ours would run in the child, in the memory of both.
  syscall(NR.rt_sigprocmask, SIG_SETMASK, ALL_SIGNALS, mask, 8);
  callAt(mapCode(codeFor(addressForGood(table), addressForGood(pid))));
  syscall(NR.rt_sigprocmask, SIG_SETMASK, mask, 0, 8);
  const results = calls.map((_call, index) => {
    const result = table.readBigInt64LE(index * ROW.size + ROW.result);
    return result === NO_RESULT ? undefined : Number(result);
  });
  return { pid: Number(pid.readBigInt64LE()), results };
}

function tableOf(calls: readonly ChildCall[]): Buffer {
  const table = Buffer.alloc(calls.length * ROW.size);
  const word = (index: number, at: number): Buffer =>
    table.subarray(index * ROW.size + at, index * ROW.size + at + 8);
  calls.forEach(({ nr, args = [], store = [], onlyIf }, index) => {
    const set = (at: number, value: Argument): void => {
      if (typeof value === 'object') setPointer(table, index * ROW.size + at, value);
      else word(index, at).writeBigInt64LE(BigInt.asIntN(64, BigInt(value)));
    };
    set(ROW.nr, nr);
    for (let n = 0; n < ARGUMENTS; n++) set(ROW.args + n * 8, args[n] ?? 0);
    word(index, ROW.result).writeBigInt64LE(NO_RESULT);
    set(ROW.expected, onlyIf?.returned ?? 0);
    // Without a condition a word is compared with itself.
    set(ROW.condition, onlyIf ? word(onlyIf.call, ROW.result) : word(index, ROW.expected));
    for (const n of [0, 1]) {
      const to = store[n] ?? word(index, ROW.result);
      set(ROW.stores + n * 8, 'firstOf' in to ? word(to.firstOf, ROW.args) : to);
    }
  });
  return table;
}

/** rbx goes through the rows; the child shares the stack and leaves it as it is. */
function codeFor(table: number, pid: number): Buffer {
  const made = [
    ...[0x48, 0x8b, 0x03], //                      mov rax, [rbx]
    ...[0x48, 0x8b, 0x7b, ROW.args], //            mov rdi, [rbx + args]
    ...[0x48, 0x8b, 0x73, ROW.args + 8], //        mov rsi, …
    ...[0x48, 0x8b, 0x53, ROW.args + 16], //       mov rdx, …
    ...[0x4c, 0x8b, 0x53, ROW.args + 24], //       mov r10, …
    ...[0x4c, 0x8b, 0x43, ROW.args + 32], //       mov r8, …
    ...[0x4c, 0x8b, 0x4b, ROW.args + 40], //       mov r9, …
    ...[0x0f, 0x05], //                            syscall
    ...[0x48, 0x89, 0x43, ROW.result], //          mov [rbx + result], rax
    ...[0x48, 0x8b, 0x4b, ROW.stores], //          mov rcx, [rbx + stores]
    ...[0x89, 0x01], //                            mov [rcx], eax
    ...[0x48, 0x8b, 0x4b, ROW.stores + 8], //      mov rcx, …
    ...[0x89, 0x01], //                            mov [rcx], eax
  ];
  const row = [
    ...[0x48, 0x8b, 0x43, ROW.condition], //  row: mov rax, [rbx + condition]
    ...[0x48, 0x8b, 0x08], //                      mov rcx, [rax]
    ...[0x48, 0x3b, 0x4b, ROW.expected], //        cmp rcx, [rbx + expected]
    ...[0x75, made.length], //                     jne next
    ...made,
    ...[0x48, 0x83, 0xc3, ROW.size], //      next: add rbx, size
  ];
  const loop = [...row, 0xeb, -(row.length + 2) & 0xff]; // jmp row
  return Buffer.from([
    0x53, //                                       push rbx
    ...[0x48, 0xbb, ...u64(table)], //             mov rbx, table
    ...[0xb8, ...u32(NR.clone)], //                mov eax, clone
    ...[0xbf, ...u32(CLONE_VM | CLONE_VFORK | SIGCHLD)], // mov edi, flags
    ...[0x31, 0xf6], //                            xor esi, esi
    ...[0x31, 0xd2], //                            xor edx, edx
    ...[0x45, 0x31, 0xd2], //                      xor r10d, r10d
    ...[0x45, 0x31, 0xc0], //                      xor r8d, r8d
    ...[0x0f, 0x05], //                            syscall
    ...[0x48, 0x85, 0xc0], //                      test rax, rax
    ...[0x75, loop.length], //                     jnz parent
    ...loop,
    ...[0x48, 0xb9, ...u64(pid)], //       parent: mov rcx, pid
    ...[0x48, 0x89, 0x01], //                      mov [rcx], rax
    0x5b, //                                       pop rbx
    0xc3, //                                       ret
  ]);
}
