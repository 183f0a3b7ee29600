/**
 * Many pieces of work in one transfer: as a whole while all goes well, and where a piece is refused, that one alone is
 * lost.
 */
import type { DeviceDma, DmaPiece } from '../port.ts';

/** Bytes and where in memory they belong. */
export interface PlacedBytes {
  readonly pieces: readonly DmaPiece[];
  /** As many as the pieces have. */
  readonly bytes: Uint8Array;
}

/** What lies in each of these lists of pieces; undefined: it was refused. One transfer, and one more after each refusal. */
export function readEach(
  dma: DeviceDma,
  lists: readonly (readonly DmaPiece[])[],
): (Uint8Array | undefined)[] {
  const sizes = lists.map(piecesLength);
  const bytes = new Uint8Array(sumOf(sizes));
  const ends = runs(sizes, (first, start) => {
    const rc = dma.read(allFrom(lists, first), bytes.subarray(start));
    return rc ? dma.moved : bytes.length - start;
  });
  return ends.map((end, n) =>
    end === undefined ? undefined : bytes.subarray(end - sizes[n]!, end),
  );
}

/** Write each; false: it was refused, and a part of it may have moved. One transfer, and one more after each refusal. */
export function writeEach(dma: DeviceDma, list: readonly PlacedBytes[]): boolean[] {
  const sizes = list.map(({ bytes }) => bytes.length);
  const all = new Uint8Array(sumOf(sizes));
  const lists = list.map(({ pieces }) => pieces);
  let at = 0;
  for (const { bytes } of list) {
    all.set(bytes, at);
    at += bytes.length;
  }
  const ends = runs(sizes, (first, start) => {
    const rc = dma.write(allFrom(lists, first), all.subarray(start));
    return rc ? dma.moved : all.length - start;
  });
  return ends.map((end) => end !== undefined);
}

/** Bytes of all pieces together. */
export function piecesLength(pieces: readonly DmaPiece[]): number {
  let sum = 0;
  for (const { length } of pieces) sum += length;
  return sum;
}

/** The part of these pieces from byte `start` on, `length` bytes long; less where they end. */
export function cutPieces(
  pieces: readonly DmaPiece[],
  start: number,
  length: number,
): readonly DmaPiece[] {
  const out: DmaPiece[] = [];
  let before = start;
  let left = length;
  for (const piece of pieces) {
    const skip = Math.min(before, piece.length);
    const take = Math.min(left, piece.length - skip);
    if (take > 0) out.push({ at: piece.at + BigInt(skip), length: take });
    before -= skip;
    left -= take;
  }
  return out;
}

/** The pieces of these lists from one on, one after the other; flat() takes as long as the transfer of short ones. */
function allFrom(lists: readonly (readonly DmaPiece[])[], first: number): DmaPiece[] {
  const all: DmaPiece[] = [];
  for (let n = first; n < lists.length; n++) for (const piece of lists[n]!) all.push(piece);
  return all;
}
function sumOf(sizes: readonly number[]): number {
  let sum = 0;
  for (const size of sizes) sum += size;
  return sum;
}

/**
 * Where each of these sizes, put one after the other, ends; undefined for those that were not moved whole. `move` starts
 * with one of them and says how many bytes it moved.
 */
function runs(
  sizes: readonly number[],
  move: (first: number, start: number) => number,
): (number | undefined)[] {
  const ends: (number | undefined)[] = [];
  let start = 0;
  while (ends.length < sizes.length) {
    const limit = start + move(ends.length, start);
    while (ends.length < sizes.length && start + sizes[ends.length]! <= limit) {
      ends.push((start += sizes[ends.length]!));
    }
    if (ends.length === sizes.length) break;
    start += sizes[ends.length]!;
    ends.push(undefined);
  }
  return ends;
}
