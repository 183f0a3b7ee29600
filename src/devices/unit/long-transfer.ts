/**
 * Many pieces of work in one transfer, of which a turn does as much as it has room for: where a piece is refused, that one
 * alone is lost, and where the turn ends the next one goes on.
 */
import type { DeviceDma, DmaPiece } from '../port.ts';
import { cutPieces, piecesLength } from './each.ts';
import type { Scratch } from './scratch.ts';

/** A transfer at one moment: plain values. */
export interface LongState {
  readonly write: boolean;
  readonly lists: readonly (readonly DmaPiece[])[];
  /** Of all lists, one after the other. */
  readonly bytes: Uint8Array;
  /** Of them, how many have been moved, or passed over. */
  readonly at: number;
  /** Of each list that is over: was all of it moved? */
  readonly ends: readonly boolean[];
  /** Of the last list that was refused: bytes that had been moved. */
  readonly refusedAt: number;
}

export class LongTransfer {
  readonly #dma: DeviceDma;
  readonly #write: boolean;
  readonly #lists: readonly (readonly DmaPiece[])[];
  readonly #starts: readonly number[];
  readonly #bytes: Uint8Array;
  readonly #ends: boolean[];
  #at: number;
  #refusedAt: number;

  private constructor(dma: DeviceDma, { write, lists, bytes, at, ends, refusedAt }: LongState) {
    this.#dma = dma;
    this.#write = write;
    this.#lists = lists;
    this.#bytes = bytes;
    this.#at = at;
    this.#refusedAt = refusedAt;
    this.#ends = [...ends];
    let start = 0;
    this.#starts = [0, ...lists.map((pieces) => (start += piecesLength(pieces)))];
  }
  /** Read what lies in each of these lists; into a scratch buffer, where that is at hand so long. */
  static reading(
    dma: DeviceDma,
    lists: readonly (readonly DmaPiece[])[],
    scratch?: Scratch,
  ): LongTransfer {
    const length = lists.reduce((sum, pieces) => sum + piecesLength(pieces), 0);
    const bytes = scratch?.take(length) ?? new Uint8Array(length);
    return new LongTransfer(dma, { write: false, lists, bytes, at: 0, ends: [], refusedAt: 0 });
  }
  /** Write these: as many bytes as the pieces have. */
  static writing(
    dma: DeviceDma,
    list: readonly { readonly pieces: readonly DmaPiece[]; readonly bytes: Uint8Array }[],
  ): LongTransfer {
    const lists = list.map(({ pieces }) => pieces);
    const [only] = list;
    const bytes = list.length === 1 && only ? only.bytes : joined(list.map((one) => one.bytes));
    return new LongTransfer(dma, { write: true, lists, bytes, at: 0, ends: [], refusedAt: 0 });
  }
  static restored(dma: DeviceDma, state: LongState): LongTransfer {
    return new LongTransfer(dma, { ...state, bytes: state.bytes.slice() });
  }
  /** A copy. */
  state(): LongState {
    const [write, lists, at, refusedAt] = [this.#write, this.#lists, this.#at, this.#refusedAt];
    return { write, lists, bytes: this.#bytes.slice(), at, ends: [...this.#ends], refusedAt };
  }

  get isWrite(): boolean {
    return this.#write;
  }
  get isOver(): boolean {
    return this.#ends.length === this.#lists.length;
  }
  /** Of each list that is over: was all of it moved? */
  get ends(): readonly boolean[] {
    return this.#ends;
  }
  /** Of the last list that was refused: bytes that had been moved. */
  get refusedAt(): number {
    return this.#refusedAt;
  }
  /** Of all lists, one after the other: what was read, as far as it came. */
  get bytes(): Uint8Array {
    return this.#bytes;
  }
  /** What was read for each; undefined: it was refused. */
  get read(): (Uint8Array | undefined)[] {
    return this.#ends.map((isWhole, n) =>
      isWhole ? this.#bytes.subarray(this.#starts[n], this.#starts[n + 1]) : undefined,
    );
  }
  /** Do so much of the rest; something, where there is any. */
  go(work: number): void {
    if (this.isOver) return;
    const pieces = this.#rest();
    const bytes = this.#bytes.subarray(this.#at);
    const most = Math.max(1, work);
    const rc = this.#write
      ? this.#dma.write(pieces, bytes, undefined, most)
      : this.#dma.read(pieces, bytes, undefined, most);
    this.#at += this.#dma.moved;
    this.#endThose();
    if (!rc || this.#isDone()) return;
    // The one that was refused is passed over.
    this.#refusedAt = this.#at - this.#starts[this.#ends.length]!;
    this.#ends.push(false);
    this.#at = this.#starts[this.#ends.length]!;
    this.#endThose();
  }
  /** All of it, in this turn. */
  finish(): this {
    while (!this.isOver) this.go(Infinity);
    return this;
  }

  #isDone(): boolean {
    return this.#ends.length === this.#lists.length;
  }
  #endThose(): void {
    while (!this.isOver && this.#starts[this.#ends.length + 1]! <= this.#at) this.#ends.push(true);
  }
  /** The pieces of the first that is not over, as far as they are left, and of all after it. */
  #rest(): DmaPiece[] {
    const first = this.#ends.length;
    const done = this.#at - this.#starts[first]!;
    const rest = done > 0 ? [...cutPieces(this.#lists[first]!, done, Infinity)] : [];
    for (let n = done > 0 ? first + 1 : first; n < this.#lists.length; n++) {
      for (const piece of this.#lists[n]!) rest.push(piece);
    }
    return rest;
  }
}

function joined(parts: readonly Uint8Array[]): Uint8Array {
  const all = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}
