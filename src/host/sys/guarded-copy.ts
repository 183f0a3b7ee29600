/**
 * Copies between bytes of ours and mapped files, many in one step. A page that a file has no more, because somebody made it
 * shorter, raises SIGBUS at whoever touches it: here it ends the copy, and nothing else.
 *
 * The copying is a few instructions of ours, since only of those it is known where they may fail and how to go on: the
 * handler of SIGBUS takes a failing `rep movsb` to its end, and anything else that raised it ends as it would have. 4 KiB cost
 * 0.3 us so, and 13 by pwrite(2) and the stat(2) it needs to keep the file as long as it is.
 */
import type { PlaceList } from '../../machine/memory/process-memory.ts';
import {
  addressForGood,
  functionAt,
  handleSignalAt,
  handlerOf,
  mapCode,
  setPointer,
} from './ffi.ts';
import { handedOnCode, u32, u64 } from './machine-code.ts';
import { SIGBUS } from './numbers.ts';

/** An entry of the list the code reads: where to, where from, how many bytes; a length of zero ends it. */
const ENTRY = { to: 0, from: 8, length: 16, size: 24 } as const;
const MOST_ENTRIES = 512;
/** Up to here bytes go through a buffer that stays: to tell where others are costs more than to copy them. */
const SMALL = 1 << 16;
/** Of struct ucontext: where the registers have rip. */
const UCONTEXT_RIP = 168;
/** Of siginfo_t: positive when the kernel has raised it. */
const SIGINFO_CODE = 8;

interface Copier {
  readonly run: (list: Uint8Array) => number;
  readonly list: Buffer;
  /** The list again, for 32-bit halves. */
  readonly words: Uint32Array;
  readonly small: Buffer;
  readonly smallAt: number;
}
let copier: Copier | undefined;

/** Must be called once before guardedCopy(). HostError: the host lets no machine code of ours run. */
export function prepareGuardedCopy(): void {
  copier ??= makeCopier();
}
function makeCopier(): Copier {
  const { code, movsb, end } = copyCode();
  const at = mapCode(code);
  handleSignalAt(SIGBUS, mapCode(handlerCode(at + movsb, at + end)));
  const memory = new ArrayBuffer((MOST_ENTRIES + 1) * ENTRY.size);
  const small = Buffer.alloc(SMALL);
  return {
    run: functionAt(at),
    list: Buffer.from(memory),
    words: new Uint32Array(memory),
    small,
    smallAt: addressForGood(small),
  };
}

/**
 * Between the bytes, in their order, and places of a mapping that begins at `base`. The result: the bytes copied, up to the
 * piece that could not be copied whole.
 */
export function guardedCopy(base: number, list: PlaceList, write: boolean): number {
  const { small, smallAt } = copier!;
  const { bytes } = list;
  if (bytes.length > small.length) return copyAll(base, list, ownedBytes(bytes, write), write);
  if (write) small.set(bytes);
  const moved = copyAll(base, list, smallAt, write);
  if (!write) bytes.set(small.subarray(0, moved));
  return moved;
}
/** Where bytes are that the list owns from here on: that is told by the list, and by nothing that outlives the call. */
function ownedBytes(bytes: Uint8Array, write: boolean): number {
  const { list, words } = copier!;
  const ours = write ? ENTRY.from : ENTRY.to;
  setPointer(list, ours, bytes);
  return words[ours / 4 + 1]! * 2 ** 32 + words[ours / 4]!;
}
/** `at`: where our bytes are. */
function copyAll(base: number, list: PlaceList, at: number, write: boolean): number {
  const { places, lengths } = list;
  let moved = 0;
  for (let first = 0; first < places.length; first += MOST_ENTRIES) {
    const count = Math.min(MOST_ENTRIES, places.length - first);
    fillEntries(list, { base, at: at + moved, first, count }, write);
    const done = copier!.run(copier!.list);
    for (let n = 0; n < done; n++) moved += lengths[first + n]!;
    if (done < count) break;
  }
  return moved;
}
/** Of the pieces from `first` on so many. */
function fillEntries(
  { places, lengths }: PlaceList,
  part: {
    readonly base: number;
    readonly at: number;
    readonly first: number;
    readonly count: number;
  },
  write: boolean,
): void {
  const { words } = copier!;
  const { base, first, count } = part;
  const [ours, theirs] = write ? [ENTRY.from, ENTRY.to] : [ENTRY.to, ENTRY.from];
  let { at } = part;
  for (let n = 0; n < count; n++) {
    const entry = n * ENTRY.size;
    const length = lengths[first + n]!;
    setWord(words, entry + ours, at);
    setWord(words, entry + theirs, base + places[first + n]!);
    setWord(words, entry + ENTRY.length, length);
    at += length;
  }
  setWord(words, count * ENTRY.size + ENTRY.length, 0);
}
function setWord(words: Uint32Array, at: number, value: number): void {
  words[at / 4] = value >>> 0;
  words[at / 4 + 1] = value / 2 ** 32;
}

/** The list is in rdi; the result is how many entries were gone through. It may fail at `movsb`, and ends at `end`. */
function copyCode(): { readonly code: Buffer; readonly movsb: number; readonly end: number } {
  const loop = [
    ...[0x48, 0x8b, 0x4a, ENTRY.length], // next: mov rcx, [rdx + length]
    ...[0x48, 0x85, 0xc9], //                     test rcx, rcx
    ...[0x74, 0x11], //                           jz end
    ...[0x48, 0x8b, 0x3a], //                     mov rdi, [rdx + to]
    ...[0x48, 0x8b, 0x72, ENTRY.from], //         mov rsi, [rdx + from]
  ];
  const begin = [
    ...[0x31, 0xc0], //                           xor eax, eax
    ...[0x48, 0x89, 0xfa], //                     mov rdx, rdi
  ];
  const copy = [
    ...[0xf3, 0xa4], //                           rep movsb
    ...[0x48, 0x83, 0xc2, ENTRY.size], //         add rdx, size
    ...[0xff, 0xc0], //                           inc eax
  ];
  const movsb = begin.length + loop.length;
  const back = -(loop.length + copy.length + 2) & 0xff;
  const code = [...begin, ...loop, ...copy, 0xeb, back, 0xc3]; // jmp next; end: ret
  return { code: Buffer.from(code), movsb, end: code.length - 1 };
}

/** SIGBUS: raised at `movsb` it takes the copy to its `end`; elsewhere, or sent, it means what it did before. */
function handlerCode(movsb: number, end: number): Buffer {
  return Buffer.from([
    ...[0x83, 0x7e, SIGINFO_CODE, 0x00], //         cmp dword [rsi + code], 0
    ...[0x7e, 0x28], //                             jle other
    ...[0x48, 0x8b, 0x82, ...u32(UCONTEXT_RIP)], // mov rax, [rdx + rip]
    ...[0x48, 0xb9, ...u64(movsb)], //              mov rcx, movsb
    ...[0x48, 0x39, 0xc8], //                       cmp rax, rcx
    ...[0x75, 0x12], //                             jne other
    ...[0x48, 0xb9, ...u64(end)], //                mov rcx, end
    ...[0x48, 0x89, 0x8a, ...u32(UCONTEXT_RIP)], // mov [rdx + rip], rcx
    0xc3, //                                        ret
    ...handedOnCode(SIGBUS, handlerOf(SIGBUS)), // other
  ]);
}
