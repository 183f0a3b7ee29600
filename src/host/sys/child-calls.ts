/**
 * A child process that makes a list of system calls and nothing else, the last of which executes a program or ends it.
 *
 * It runs machine code of ours in our memory while we wait (as vfork(2)): no JavaScript, no allocator, no library. So
 * no call but those of the list is made in it, and we read what each of them returned. A child between it and us that stays
 * above it needs no more.
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
/** In place of a call. */
const LIST_END = -1n;
/** Of a call that was not made. */
const NO_RESULT = -(1n << 63n);
const ALL_SIGNALS = Buffer.alloc(8, 0xff);

/** The list must end in a call that does not return. */
export function runInChild(calls: readonly ChildCall[]): ChildRun {
  const table = tableOf(calls);
  childCode ??= mapCode(
    codeOf(cloned(CLONE_VM | CLONE_VFORK | SIGCHLD, listOf(SLOT.calls), SLOT.pid)),
  );
  setPointer(control, SLOT.calls, table);
  callWithoutSignals(childCode);
  return { pid: pidAt(SLOT.pid), results: resultsIn(table) };
}

/** Lists of a process between us and the one with the calls: before that one is there, and when it executes a program or has ended. */
export interface AboveCalls {
  readonly before: readonly ChildCall[];
  /** Must end in a call that does not return. */
  readonly after: readonly ChildCall[];
}
/** The child, or minus an errno; and what came of its child, when what is executed in `after` has begun. */
export interface GrandchildRun {
  readonly pid: number;
  readonly outcome: () => ChildRun;
}

/**
 * The same in a child of a child. We do not wait: the calls may be such that wait for us. What they use is held until the next
 * ones are made, so these must not be before what is executed in `after` has begun.
 */
export function runInGrandchild(
  calls: readonly ChildCall[],
  { before, after }: AboveCalls,
): GrandchildRun {
  const table = tableOf(calls);
  grandchildCode ??= mapCode(codeOf(betweenCode()));
  setPointer(control, SLOT.before, tableOf(before));
  setPointer(control, SLOT.calls, table);
  setPointer(control, SLOT.after, tableOf(after));
  callWithoutSignals(grandchildCode);
  const outcome = (): ChildRun => ({ pid: pidAt(SLOT.grandchild), results: resultsIn(table) });
  return { pid: pidAt(SLOT.pid), outcome };
}

/** What the code reads and writes: pointers to tables, and the children. Code and this are made once. */
const SLOT = { calls: 0, before: 8, after: 16, pid: 24, grandchild: 32, size: 40 } as const;
const control = Buffer.alloc(SLOT.size);
let childCode: number | undefined;
let grandchildCode: number | undefined;

/** A handler of ours would run in the child, in the memory of both. */
function callWithoutSignals(code: number): void {
  const mask = Buffer.alloc(8);
  syscall(NR.rt_sigprocmask, SIG_SETMASK, ALL_SIGNALS, mask, 8);
  callAt(code);
  syscall(NR.rt_sigprocmask, SIG_SETMASK, mask, 0, 8);
}
function pidAt(slot: number): number {
  return Number(control.readBigInt64LE(slot));
}
function resultsIn(table: Buffer): (number | undefined)[] {
  return Array.from({ length: table.length / ROW.size - 1 }, (_row, index) => {
    const result = table.readBigInt64LE(index * ROW.size + ROW.result);
    return result === NO_RESULT ? undefined : Number(result);
  });
}

function tableOf(calls: readonly ChildCall[]): Buffer {
  const table = Buffer.alloc((calls.length + 1) * ROW.size);
  table.writeBigInt64LE(LIST_END, calls.length * ROW.size);
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

/** The calls of the table in a slot, rbx going through the rows; a child shares the stack and leaves it as it is. */
function listOf(slot: number): number[] {
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
    ...[0x48, 0x8b, 0x43, ROW.condition], //       mov rax, [rbx + condition]
    ...[0x48, 0x8b, 0x08], //                      mov rcx, [rax]
    ...[0x48, 0x3b, 0x4b, ROW.expected], //        cmp rcx, [rbx + expected]
    ...[0x75, made.length], //                     jne next
    ...made,
    ...[0x48, 0x83, 0xc3, ROW.size], //      next: add rbx, size
  ];
  const look = [
    ...[0x48, 0x83, 0x3b, 0x00], //           row: cmp qword [rbx], 0
    ...[0x7c, row.length + 2], //                  jl end
  ];
  return [
    ...[0x48, 0xb9, ...u64(addressForGood(control) + slot)], // mov rcx, slot
    ...[0x48, 0x8b, 0x19], //                      mov rbx, [rcx]
    ...[...look, ...row],
    ...[0xeb, -(look.length + row.length + 2) & 0xff], // jmp row
  ];
}
/** A child that runs some code, which does not return; the parent goes on when it may, with the child's number in a slot. */
function cloned(flags: number, child: readonly number[], slot: number): number[] {
  return [
    ...[0xb8, ...u32(NR.clone)], //                mov eax, clone
    ...[0xbf, ...u32(flags)], //                   mov edi, flags
    ...[0x31, 0xf6], //                            xor esi, esi
    ...[0x31, 0xd2], //                            xor edx, edx
    ...[0x45, 0x31, 0xd2], //                      xor r10d, r10d
    ...[0x45, 0x31, 0xc0], //                      xor r8d, r8d
    ...[0x0f, 0x05], //                            syscall
    ...[0x48, 0x85, 0xc0], //                      test rax, rax
    ...[0x0f, 0x85, ...u32(child.length)], //      jnz parent
    ...child,
    ...[0x48, 0xb9, ...u64(addressForGood(control) + slot)], // parent: mov rcx, slot
    ...[0x48, 0x89, 0x01], //                      mov [rcx], rax
  ];
}
/** We go on at once, and the child when its own one no longer runs in our memory. */
function betweenCode(): number[] {
  const grandchild = cloned(CLONE_VM | CLONE_VFORK | SIGCHLD, listOf(SLOT.calls), SLOT.grandchild);
  const child = [...listOf(SLOT.before), ...grandchild, ...listOf(SLOT.after)];
  return cloned(CLONE_VM | SIGCHLD, child, SLOT.pid);
}
function codeOf(body: readonly number[]): Buffer {
  return Buffer.from([
    0x53, //                                       push rbx
    ...body,
    0x5b, //                                       pop rbx
    0xc3, //                                       ret
  ]);
}
