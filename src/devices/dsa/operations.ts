/**
 * What an accelerator does with memory: moves, fills, comparisons, and the list of a batch (devices.md 3.3). Up to where
 * a transfer is refused everything has been done, and the outcome says how far that is.
 *
 * A turn does as much of an operation as it has room for.
 */
import type { DeviceDma } from '../port.ts';
import { LongTransfer, type LongState } from '../unit/long-transfer.ts';
import { fillPattern } from '../unit/pattern.ts';
import {
  DESCRIPTOR_SIZE,
  OP,
  STATUS,
  type DsaDescriptor,
  type DescriptorOutcome,
} from './descriptor.ts';

const DONE: DescriptorOutcome = { status: STATUS.success };
const PAGE = 0xfffn;

/** What an operation reads before it does anything else, by opcode. */
const READS: Readonly<Record<number, readonly ('src' | 'dst')[]>> = {
  [OP.batch]: ['src'],
  [OP.move]: ['src'],
  [OP.compare]: ['src', 'dst'],
  [OP.comparePattern]: ['src'],
};

/** What was read of one place: all of it, or as far as it came. */
interface Came {
  readonly bytes: Uint8Array;
  readonly fault: DescriptorOutcome | undefined;
}
/** An operation at one moment, besides its descriptor. */
export interface DsaOperationState {
  readonly came: readonly Came[];
  readonly transfer: LongState | undefined;
}

/** One operation that has begun. The size has been checked. */
export class DsaOperation {
  readonly #dma: DeviceDma;
  readonly #wanted: DsaDescriptor;
  readonly #came: Came[] = [];
  #transfer: LongTransfer | undefined;

  constructor(dma: DeviceDma, wanted: DsaDescriptor, state?: DsaOperationState) {
    this.#dma = dma;
    this.#wanted = wanted;
    if (!state) this.#transfer = this.#next();
    else {
      this.#came.push(...structuredClone(state.came));
      this.#transfer = state.transfer && LongTransfer.restored(dma, state.transfer);
    }
  }
  /** A copy. */
  state(): DsaOperationState {
    return { came: structuredClone(this.#came), transfer: this.#transfer?.state() };
  }
  /** What was read first. */
  get bytes(): Uint8Array | undefined {
    return this.#came[0]?.bytes;
  }
  /** Do so much of one transfer; undefined: more is to be done. */
  go(work: number): DescriptorOutcome | undefined {
    const transfer = this.#transfer;
    if (!transfer) return this.#outcome();
    transfer.go(work);
    if (!transfer.isOver) return undefined;
    const isWhole = transfer.ends[0]!;
    const reads = this.#reads;
    if (this.#came.length === reads.length) {
      const status = STATUS.fault | STATUS.write;
      return isWhole ? this.#outcome() : faultAt(this.#wanted.dst, transfer.refusedAt, status);
    }
    const at = this.#wanted[reads[this.#came.length]!];
    const status = this.#opcode === OP.batch ? STATUS.batchFault : STATUS.fault;
    const fault = isWhole ? undefined : faultAt(at, transfer.refusedAt, status);
    this.#came.push({ bytes: transfer.bytes.subarray(0, fault?.completed), fault });
    this.#transfer = this.#next();
    return this.#transfer ? undefined : this.#outcome();
  }

  get #opcode(): number {
    return this.#wanted.operation >>> 24;
  }
  get #reads(): readonly ('src' | 'dst')[] {
    return READS[this.#opcode] ?? [];
  }
  /** All is read before anything is written, so that ranges may overlap. */
  #next(): LongTransfer | undefined {
    const { dst, size } = this.#wanted;
    const from = this.#reads[this.#came.length];
    if (from) {
      const length = this.#opcode === OP.batch ? size * DESCRIPTOR_SIZE : size;
      return LongTransfer.reading(this.#dma, [[{ at: this.#wanted[from], length }]]);
    }
    const bytes = this.#written();
    if (!bytes || bytes.length === 0) return undefined;
    return LongTransfer.writing(this.#dma, [
      { pieces: [{ at: dst, length: bytes.length }], bytes },
    ]);
  }
  #written(): Uint8Array | undefined {
    const { src, size } = this.#wanted;
    if (this.#opcode === OP.move) return this.bytes;
    return this.#opcode === OP.fill ? fillPattern(new Uint8Array(size), src) : undefined;
  }
  #outcome(): DescriptorOutcome {
    const { dst } = this.#wanted;
    const [a, b] = this.#came;
    if (this.#opcode === OP.compare) return compared(a!, b!);
    if (this.#opcode !== OP.comparePattern) return a?.fault ?? DONE;
    const pattern = fillPattern(new Uint8Array(a!.bytes.length), dst);
    return compared(a!, { bytes: pattern, fault: undefined });
  }
}

/** A difference before the first fault is a difference. */
function compared(one: Came, other: Came): DescriptorOutcome {
  const length = Math.min(one.bytes.length, other.bytes.length);
  for (let at = 0; at < length; at++) {
    if (one.bytes[at] !== other.bytes[at]) {
      return { status: STATUS.success, result: 1, completed: at };
    }
  }
  const first = one.fault && one.bytes.length === length ? one.fault : other.fault;
  return first ?? DONE;
}

/** The outcome of a transfer to `at` that came so far. */
function faultAt(
  at: bigint,
  completed: number,
  status: number,
): DescriptorOutcome & { completed: number } {
  const address = BigInt.asUintN(64, at + BigInt(completed)) & ~PAGE;
  return { status, completed, faultAddress: address };
}
