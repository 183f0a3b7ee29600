/** Data pointers that are scatter-gather lists (devices.md 4.4). */
import type { DeviceDma, DmaPiece } from '../port.ts';
import { STATUS } from './status.ts';

const DESCRIPTOR = 16;
/** Descriptors of one command, of all its segments. */
const MOST_DESCRIPTORS = 256;
/** Types, in the upper half of the last byte; their lower half is the kind of address, 0. */
const DATA = 0x00;
const BIT_BUCKET = 0x10;
const SEGMENT = 0x20;
const LAST_SEGMENT = 0x30;

/** A piece of the data; without an address its bytes go nowhere. */
export interface SglPiece {
  readonly at: bigint | undefined;
  readonly length: number;
}

/** A descriptor, as it is in memory. */
interface Descriptor {
  readonly type: number;
  readonly at: bigint;
  readonly length: number;
}

/** What is known of the list while it is followed. */
interface Walk {
  readonly dma: DeviceDma;
  readonly isRead: boolean;
  readonly pieces: SglPiece[];
  /** Bytes of data that no piece is for yet, and descriptors that may still come. */
  left: number;
  allowed: number;
}

/** The pieces for `length` bytes of data; a list that has more is cut. `first`: the descriptor in the command. */
export function sglPieces(
  dma: DeviceDma,
  first: Uint8Array,
  length: number,
  isRead: boolean,
): readonly SglPiece[] | number {
  const walk: Walk = { dma, isRead, pieces: [], left: length, allowed: MOST_DESCRIPTORS };
  let segment = [descriptorAt(first, 0)];
  for (let isLast = false; ;) {
    const next = follow(walk, segment, isLast);
    if (typeof next === 'number') return next;
    if (next === undefined || walk.left === 0) break;
    isLast = next.type === LAST_SEGMENT;
    const read = readSegment(walk, next);
    if (typeof read === 'number') return read;
    segment = read;
  }
  return walk.left > 0 ? STATUS.SGL_LENGTH : walk.pieces;
}

/** A pointer to the next segment is the last descriptor of one that is not the last. */
function follow(
  walk: Walk,
  segment: readonly Descriptor[],
  isLast: boolean,
): Descriptor | undefined | number {
  for (const [n, descriptor] of segment.entries()) {
    const { type } = descriptor;
    if (type === SEGMENT || type === LAST_SEGMENT) {
      return isLast || n < segment.length - 1 ? STATUS.SGL_SEGMENT : descriptor;
    }
    if (type !== DATA && type !== BIT_BUCKET) return STATUS.SGL_TYPE;
    take(walk, descriptor);
  }
  return undefined;
}
/** A bit bucket is for data that the host does not want; what the host sends is no such data. */
function take(walk: Walk, { type, at, length }: Descriptor): void {
  if (type === BIT_BUCKET && !walk.isRead) return;
  const taken = Math.min(length, walk.left);
  if (taken === 0) return;
  walk.pieces.push({ at: type === DATA ? at : undefined, length: taken });
  walk.left -= taken;
}
function readSegment(walk: Walk, { at, length }: Descriptor): Descriptor[] | number {
  if (length === 0 || length % DESCRIPTOR !== 0) return STATUS.SGL_SEGMENT;
  const count = length / DESCRIPTOR;
  walk.allowed -= count;
  if (walk.allowed < 0) return STATUS.SGL_COUNT;
  const bytes = new Uint8Array(length);
  if (walk.dma.read(at, bytes)) return STATUS.DATA_TRANSFER;
  return Array.from({ length: count }, (_, n) => descriptorAt(bytes, n * DESCRIPTOR));
}
function descriptorAt(bytes: Uint8Array, at: number): Descriptor {
  const words = new DataView(bytes.buffer, bytes.byteOffset + at, DESCRIPTOR);
  return {
    at: words.getBigUint64(0, true),
    length: words.getUint32(8, true),
    type: words.getUint8(15),
  };
}

/** Those that have an address, and the bytes of the data that go there. */
export function addressed(
  pieces: readonly SglPiece[],
  data: Uint8Array,
): { readonly pieces: readonly DmaPiece[]; readonly data: Uint8Array } {
  const kept: DmaPiece[] = [];
  const out = new Uint8Array(data.length);
  let [from, to] = [0, 0];
  for (const { at, length } of pieces) {
    if (at !== undefined) {
      kept.push({ at, length });
      out.set(data.subarray(from, from + length), to);
      to += length;
    }
    from += length;
  }
  return { pieces: kept, data: out.subarray(0, to) };
}
