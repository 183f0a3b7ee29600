/**
 * The transmitter of the 82576 (devices.md 1.6, 1.11): advanced descriptors become frames.
 *
 * A doorbell only wakes it; it works in turns of its own, some descriptors of every queue at a time. Of these the ring is
 * read in one transfer, the frames in another, and what was sent is written back in a third.
 */
import { Delay } from '../unit/delay.ts';
import { LongTransfer, type LongState } from '../unit/long-transfer.ts';
import { TurnBudget } from '../unit/turn-budget.ts';
import { fetchBytes, ringPieces } from '../unit/ring.ts';
import type { DeviceDma, DevicePort, DmaPiece } from '../port.ts';
import type { Actions, Cells } from './cells.ts';
import { contextOf, NO_CONTEXT, offloaded, padded, type TxContext } from './offloads.ts';
import { DESCRIPTOR, DONE, queueAt, type Queue } from './queues.ts';
import { CTRL, QUEUE_ON, QUEUES, TCTL } from './registers.ts';

/** Descriptors of one queue in one turn. */
export const TX_CHUNK = 256;
/** Bytes of frames in one turn: then no further descriptor is begun. */
const CHUNK_BYTES = 0x10_0000;
/** The longest frame without its segments, headers included: PAYLEN has 18 bits. */
const LONGEST = 0x4_0100;

const KIND = { CONTEXT: 2, DATA: 3 } as const;
const COMMAND = {
  EOP: 1 << 24,
  RS: 1 << 27,
  DEXT: 1 << 29,
  VLE: 1 << 30,
  TSE: 1 << 31,
  /** The frame goes out as another, or as several. */
  CHANGES: (1 << 30) | (1 << 31),
} as const;
const OPTION = { IXSM: 1 << 8, TXSM: 1 << 9, SUMS: (1 << 8) | (1 << 9) } as const;

/** A descriptor that wants to be written back: where in the ring it is, and what it holds. */
interface Report {
  readonly at: number;
  readonly entry: Uint8Array;
}
/** A frame whose descriptors have come, up to its last or as far as they are. */
interface Parts {
  readonly pieces: DmaPiece[];
  length: number;
  /** Of the first descriptor. */
  readonly command: number;
  readonly options: number;
  readonly context: TxContext;
  readonly reports: Report[];
}
/** What a queue keeps between turns. */
interface QueueState {
  contexts: readonly [TxContext, TxContext];
  open: Parts | undefined;
}
/** Descriptors of a queue whose frames are being read. */
interface Begun {
  readonly index: number;
  readonly whole: readonly Parts[];
  /** Descriptors. */
  readonly done: number;
}
interface Reading extends Begun {
  readonly transfer: LongTransfer;
}
export type TransmitState = {
  readonly queues: readonly QueueState[];
  readonly reading: (Begun & { readonly transfer: LongState }) | undefined;
  readonly wakeLeftNs: number | undefined;
};

/** Where frames and reports go. */
export interface TransmitEvents {
  /** The way to memory of a queue; undefined: it may not send. */
  dmaOf(queue: number): DeviceDma | undefined;
  /** In order; of one queue. */
  send(frames: readonly Uint8Array[], queue: number): void;
  /** Descriptors of these queues were written back. */
  sent(queues: number): void;
}

const newQueue = (): QueueState => ({ contexts: [NO_CONTEXT, NO_CONTEXT], open: undefined });

/** What a turn has for others. */
interface Sent {
  /** Queues whose descriptors were written back, as bits. */
  reported: number;
  readonly frames: (readonly [number, readonly Uint8Array[]])[];
}

export class Transmit {
  readonly #cells: Cells;
  readonly #events: TransmitEvents;
  readonly #wake: Delay;
  readonly actions: Actions;
  #queues: QueueState[] = Array.from({ length: QUEUES }, newQueue);
  readonly #budget: TurnBudget;
  #reading: Reading | undefined;

  constructor(clock: DevicePort['clock'], cells: Cells, events: TransmitEvents) {
    this.#cells = cells;
    this.#events = events;
    this.#budget = new TurnBudget({ clock });
    this.#wake = new Delay(clock, () => this.#run());
    this.actions = {
      stores: {
        tctl: (value) => {
          cells.set('tctl', value);
          this.wake();
        },
        tdt: (value, index) => {
          cells.set('tdt', value, index);
          this.wake();
        },
        txdctl: (value, index) => {
          cells.set('txdctl', value, index);
          if ((value & QUEUE_ON) === 0) this.forget(index);
          else this.wake();
        },
      },
    };
  }

  /** Look at the queues, in a turn of its own. */
  wake(): void {
    if (this.#wake.leftNs === undefined) this.#wake.restart(0);
  }
  /** A queue has nothing begun any more. */
  forget(queue: number): void {
    this.#queues[queue] = newQueue();
    if (this.#reading?.index === queue) this.#reading = undefined;
  }
  reset(): void {
    this.#wake.cancel();
    this.#reading = undefined;
    this.#queues = Array.from({ length: QUEUES }, newQueue);
  }
  state(): TransmitState {
    const queues = this.#queues.map(({ contexts, open }) => ({
      contexts,
      open: open && { ...open, pieces: [...open.pieces], reports: [...open.reports] },
    }));
    const reading = this.#reading && {
      ...this.#reading,
      transfer: this.#reading.transfer.state(),
    };
    return { queues, reading, wakeLeftNs: this.#wake.leftNs };
  }
  restore({ queues, reading, wakeLeftNs }: TransmitState): void {
    this.#queues = queues.map(({ contexts, open }) => ({
      contexts,
      open: open && { ...open, pieces: [...open.pieces], reports: [...open.reports] },
    }));
    const dma = reading && this.#events.dmaOf(reading.index);
    this.#reading = dma && {
      ...reading,
      transfer: LongTransfer.restored(dma, reading.transfer),
    };
    this.#wake.restart(wakeLeftNs);
  }

  #run(): void {
    if (!this.#cells.has('tctl', TCTL.EN) || this.#cells.has('ctrl', CTRL.MASTER_DISABLE)) return;
    this.#budget.renew();
    const sent: Sent = { reported: 0, frames: [] };
    if (this.#reading) this.#read(this.#reading, sent);
    for (let index = 0; index < QUEUES && !this.#reading; index++) this.#turn(index, sent);
    if (sent.reported !== 0) this.#events.sent(sent.reported);
    for (const [index, frames] of sent.frames) this.#events.send(frames, index);
  }
  /** Some descriptors of one queue, or in the next turn. */
  #turn(index: number, sent: Sent): void {
    const queue = queueAt(this.#cells, 'tx', index);
    if (!queue || queue.waiting === 0) return;
    const dma = this.#events.dmaOf(index);
    if (!dma) return;
    if (this.#budget.left === 0) {
      this.wake();
      return;
    }
    const begun = this.#begin(dma, queue, index);
    if (begun.done < queue.waiting) this.wake();
    this.#read(begun, sent);
  }
  /** Of what has begun as much as the turn has room for; then it is the next turn's first. */
  #read(reading: Reading, sent: Sent): void {
    const dma = this.#events.dmaOf(reading.index);
    this.#reading = reading;
    while (dma && !reading.transfer.isOver && this.#budget.left > 0) {
      const start = dma.work;
      reading.transfer.go(this.#budget.left);
      this.#budget.spend(dma.work - start);
      // What it reached may have been this controller.
      if (this.#reading !== reading) return;
    }
    if (dma && !reading.transfer.isOver) {
      this.wake();
      return;
    }
    this.#reading = undefined;
    const queue = queueAt(this.#cells, 'tx', reading.index);
    if (!dma || !queue) return;
    const before = dma.work;
    const { frames, reported } = this.#end(dma, queue, reading);
    this.#budget.spend(dma.work - before);
    if (reported) sent.reported |= 1 << reading.index;
    if (frames.length > 0) sent.frames.push([reading.index, frames]);
  }

  /** Some descriptors of one queue. */
  #begin(dma: DeviceDma, queue: Queue, index: number): Reading {
    const before = dma.work;
    const { ring, head, waiting } = queue;
    const wanted = Math.min(waiting, TX_CHUNK);
    const entries = fetchBytes(dma, ring, head, wanted);
    const count = entries.length / DESCRIPTOR;
    const words = new DataView(entries.buffer, entries.byteOffset, entries.byteLength);
    const whole: Parts[] = [];
    const state = this.#queues[index]!;
    let bytes = 0;
    let done = 0;
    while (done < count && bytes < CHUNK_BYTES) {
      const frame = takeEntry(state, words, done * DESCRIPTOR, (head + done) % ring.entries);
      done++;
      if (frame) whole.push(frame);
      bytes += frame?.length ?? 0;
    }
    if (count < wanted && done === count) {
      // The one that was refused is passed over, and with it the frame it would have been a part of.
      state.open = undefined;
      done++;
    }
    const transfer = LongTransfer.reading(
      dma,
      whole.map(({ pieces }) => pieces),
    );
    this.#budget.spend(dma.work - before);
    return { index, whole, done, transfer };
  }
  #end(dma: DeviceDma, queue: Queue, { index, whole, done, transfer }: Reading) {
    const { ring, head } = queue;
    const data = transfer.read;
    const reports: Report[] = [];
    const frames: Uint8Array[] = [];
    for (const [n, frame] of whole.entries()) {
      const found = data[n];
      if (!found) continue;
      reports.push(...frame.reports);
      if (found.length > 0) this.#addFrames(frames, frame, found);
    }
    if (reports.length > 0) report(dma, queue, reports);
    this.#cells.set('tdh', (head + done) % ring.entries, index);
    return { frames, reported: reports.length > 0 };
  }

  #addFrames(frames: Uint8Array[], { command, options, context }: Parts, data: Uint8Array): void {
    const pads = this.#cells.has('tctl', TCTL.PSP);
    if ((options & OPTION.SUMS) === 0 && (command & COMMAND.CHANGES) === 0) {
      frames.push(pads ? padded(data) : data);
      return;
    }
    const offloads = {
      context,
      ipChecksum: (options & OPTION.IXSM) !== 0,
      transportChecksum: (options & OPTION.TXSM) !== 0,
      segment: (command & COMMAND.TSE) !== 0,
      tag: (command & COMMAND.VLE) !== 0,
    };
    for (const frame of offloaded(data, offloads)) frames.push(pads ? padded(frame) : frame);
  }
}

/** All of a turn in one transfer. */
function report(dma: DeviceDma, { ring }: Queue, reports: readonly Report[]): void {
  const pieces: DmaPiece[] = [];
  const bytes = new Uint8Array(reports.length * DESCRIPTOR);
  let [first, count] = [reports[0]!.at, 0];
  for (const [n, { at, entry }] of reports.entries()) {
    bytes.set(entry, n * DESCRIPTOR);
    bytes[n * DESCRIPTOR + 12]! |= DONE;
    if (at === first + count) count++;
    else {
      pieces.push(...ringPieces(ring, first, count));
      [first, count] = [at, 1];
    }
  }
  pieces.push(...ringPieces(ring, first, count));
  // What is refused stays as it is: the driver does not see it done.
  void dma.write(pieces, bytes);
}

/** One descriptor: a context is kept, data goes to the frame that is open. The frame, when it was its last. */
function takeEntry(
  state: QueueState,
  words: DataView,
  from: number,
  at: number,
): Parts | undefined {
  const command = words.getUint32(from + 8, true);
  const kind = (command & COMMAND.DEXT) === 0 ? 0 : (command >>> 20) & 0xf;
  if (kind === KIND.CONTEXT) return takeContext(state, words, from, at);
  if (kind !== KIND.DATA) return undefined;
  const options = words.getUint32(from + 12, true);
  const open = (state.open ??= {
    pieces: [],
    length: 0,
    command,
    options,
    context: state.contexts[(options >>> 4) & 1]!,
    reports: [],
  });
  const length = command & 0xffff;
  if (length > 0 && open.length <= LONGEST) {
    open.pieces.push({ at: words.getBigUint64(from, true), length });
  }
  open.length += length;
  if ((command & COMMAND.RS) !== 0) open.reports.push({ at, entry: entryAt(words, from) });
  if ((command & COMMAND.EOP) === 0) return undefined;
  state.open = undefined;
  // Longer than any that can be described: it is discarded, as done.
  return open.length > LONGEST ? { ...open, pieces: [], length: 0 } : open;
}
/** What is to be reported is a frame of no bytes. */
function takeContext(
  state: QueueState,
  words: DataView,
  from: number,
  at: number,
): Parts | undefined {
  const [first, second] = state.contexts;
  const entry = entryAt(words, from);
  const context = contextOf(new DataView(entry.buffer, entry.byteOffset, DESCRIPTOR));
  const isSecond = (words.getUint32(from + 12, true) & 0x10) !== 0;
  state.contexts = isSecond ? [first, context] : [context, second];
  if ((words.getUint32(from + 8, true) & COMMAND.RS) === 0) return undefined;
  return { pieces: [], length: 0, command: 0, options: 0, context, reports: [{ at, entry }] };
}
function entryAt(words: DataView, from: number): Uint8Array {
  return new Uint8Array(words.buffer, words.byteOffset + from, DESCRIPTOR);
}
