/**
 * The way of block requests through a device: asked for, given to the disk, answered. Of each part a turn does as much as
 * it has room for, and the next goes on there.
 */
import type { DeviceDma } from '../port.ts';
import { cutPieces, piecesLength, writeEach, type PlacedBytes } from '../unit/each.ts';
import { LongTransfer, type LongState } from '../unit/long-transfer.ts';
import { TURN_WORK } from '../unit/turn-budget.ts';
import {
  bytesOf,
  VIRTIO_BLK_S_IOERR,
  VIRTIO_BLK_S_OK,
  type AskedRequest,
  type BlkAnswer,
  type BlkRequest,
} from './blk-requests.ts';
import type { UsedChain } from './chain.ts';

/** Requests under way, and bytes of them, before more are begun. */
const MOST_GOING = 256;
const MOST_BYTES = 16 * TURN_WORK;

/** What is asked of whoever has the disk and the queues. */
export interface BlkWorkParts {
  readonly dma: DeviceDma;
  /** Give it to the disk. */
  perform(request: BlkRequest): void;
  /** These are done, of one queue. */
  use(queue: number, list: readonly UsedChain[]): void;
}

/** A transfer under way, and what it is for. */
interface Under<T> {
  readonly list: readonly T[];
  readonly transfer: LongTransfer;
}
/** The same as plain values. */
interface UnderState<T> {
  readonly list: readonly T[];
  readonly transfer: LongState;
}

/** What is under way. */
export interface BlkWorkState {
  readonly asked: readonly AskedRequest[];
  readonly incoming: UnderState<AskedRequest> | undefined;
  readonly going: readonly BlkRequest[];
  readonly finished: readonly BlkAnswer[];
  readonly outgoing: UnderState<BlkAnswer> | undefined;
}

export class BlkWork {
  readonly #parts: BlkWorkParts;
  #asked: readonly AskedRequest[] = [];
  #incoming: Under<AskedRequest> | undefined;
  /** At the disk: what is not among them was overtaken by a reset. */
  readonly #going = new Set<BlkRequest>();
  #finished: BlkAnswer[] = [];
  #outgoing: Under<BlkAnswer> | undefined;

  constructor(parts: BlkWorkParts) {
    this.#parts = parts;
  }

  /** No more can be asked for now. */
  get isFull(): boolean {
    if (this.#asked.length > 0) return true;
    if (this.#going.size >= MOST_GOING) return true;
    let bytes = 0;
    for (const { data, room } of this.#going) bytes += (data?.length ?? 0) + room;
    return bytes + this.#answerBytes >= MOST_BYTES;
  }
  ask(list: readonly AskedRequest[]): void {
    this.#asked = [...this.#asked, ...list];
  }
  /** The disk has done it. False: nobody waits for it. */
  end(answer: BlkAnswer): boolean {
    if (!this.#going.delete(answer.request)) return false;
    this.#finished.push(answer);
    return true;
  }
  /** One that the disk need not see. */
  answer(answer: BlkAnswer): void {
    this.#finished.push(answer);
  }

  /** Do a part of it, of so much work. `isIdle`: no more is asked for. False: nothing was done. */
  goOn(work: number, isIdle: boolean): boolean {
    if (this.#incoming) this.#goOnReading(this.#incoming, work);
    else if (this.#outgoing) this.#goOnAnswering(this.#outgoing, work);
    else if (this.#answerBytes >= TURN_WORK) this.#answerSome(work);
    else if (this.#asked.length > 0 && this.#hasRoom) this.#readSome(work);
    else if (this.#finished.length > 0 && (isIdle || !this.#hasRoom)) this.#answerSome(work);
    else return false;
    return true;
  }

  clear(): void {
    this.#asked = [];
    this.#incoming = undefined;
    this.#going.clear();
    this.#finished = [];
    this.#outgoing = undefined;
  }
  /** Of this queue nothing is under way any more. A transfer that has others in it begins again with them. */
  forget(queue: number): void {
    const asked = [...(this.#incoming?.list ?? []), ...this.#asked];
    const finished = [...(this.#outgoing?.list ?? []), ...this.#finished];
    this.#incoming = this.#outgoing = undefined;
    this.#asked = asked.filter((one) => one.queue !== queue);
    this.#finished = finished.filter(({ request }) => request.queue !== queue);
    for (const request of this.#going) if (request.queue === queue) this.#going.delete(request);
  }
  state(): BlkWorkState {
    return {
      asked: this.#asked,
      incoming: stateOf(this.#incoming),
      going: [...this.#going],
      finished: [...this.#finished],
      outgoing: stateOf(this.#outgoing),
    };
  }
  restore(state: BlkWorkState): void {
    const { dma } = this.#parts;
    this.clear();
    this.#asked = state.asked;
    this.#incoming = restored(dma, state.incoming);
    this.#finished = [...state.finished];
    this.#outgoing = restored(dma, state.outgoing);
    for (const request of state.going) this.#start(request);
  }

  get #hasRoom(): boolean {
    return this.#going.size < MOST_GOING;
  }
  get #answerBytes(): number {
    let bytes = 0;
    for (const { data } of this.#finished) bytes += data.length;
    return bytes;
  }
  #readSome(work: number): void {
    const list = firstOf(this.#asked, bytesOf);
    this.#asked = this.#asked.slice(list.length);
    const lists = list.map(({ given }) => given);
    const incoming = { list, transfer: LongTransfer.reading(this.#parts.dma, lists) };
    this.#incoming = incoming;
    this.#goOnReading(incoming, work);
  }
  #goOnReading(incoming: Under<AskedRequest>, work: number): void {
    const { list, transfer } = incoming;
    transfer.go(work);
    // What it reached may have been this device.
    if (this.#incoming !== incoming || !transfer.isOver) return;
    this.#incoming = undefined;
    for (const [n, data] of transfer.read.entries()) {
      const { queue, chain, type, sector, room } = list[n]!;
      this.#start({ queue, chain, type, sector, room, data });
    }
  }
  #start(request: BlkRequest): void {
    this.#going.add(request);
    this.#parts.perform(request);
  }
  #answerSome(work: number): void {
    const list = firstOf(this.#finished, ({ data }) => data.length);
    this.#finished = this.#finished.slice(list.length);
    const transfer = LongTransfer.writing(this.#parts.dma, list.map(placed));
    this.#outgoing = { list, transfer };
    this.#goOnAnswering(this.#outgoing, work);
  }
  #goOnAnswering(outgoing: Under<BlkAnswer>, work: number): void {
    const { list, transfer } = outgoing;
    transfer.go(work);
    if (this.#outgoing !== outgoing || !transfer.isOver) return;
    this.#outgoing = undefined;
    const used = usedChains(this.#parts.dma, list, transfer.ends);
    for (const queue of new Set(list.map(({ request }) => request.queue))) {
      const own = used.filter((_, n) => list[n]!.request.queue === queue);
      this.#parts.use(queue, own);
    }
  }
}

/** The first of these, of no more bytes than a turn has; at least one. */
function firstOf<T>(list: readonly T[], bytes: (one: T) => number): readonly T[] {
  let sum = 0;
  const end = list.findIndex((one, n) => (sum += bytes(one)) > TURN_WORK && n > 0);
  return end < 0 ? list : list.slice(0, end);
}
function stateOf<T>(under: Under<T> | undefined): UnderState<T> | undefined {
  return under && { list: under.list, transfer: under.transfer.state() };
}
function restored<T>(dma: DeviceDma, state: UnderState<T> | undefined): Under<T> | undefined {
  return state && { list: state.list, transfer: LongTransfer.restored(dma, state.transfer) };
}

/** What has been written of each, first data, then the status. Of data that was refused the status is told. */
function usedChains(
  dma: DeviceDma,
  answers: readonly BlkAnswer[],
  written: readonly boolean[],
): readonly UsedChain[] {
  const failed = answers.filter(({ data }, n) => !written[n] && data.length > 0);
  const told = writeEach(dma, failed.map(failedRead).map(placed));
  return answers.map((answer, n) => {
    const { chain } = answer.request;
    const bytes = piecesLength(placed(answer).pieces);
    if (written[n]) return { chain, written: bytes };
    return { chain, written: told[failed.indexOf(answer)] ? 1 : 0 };
  });
}
function failedRead({ request }: BlkAnswer): BlkAnswer {
  return { request, status: VIRTIO_BLK_S_IOERR, data: new Uint8Array(0) };
}
/** The status is the last byte that the driver has room for; without any there is none. */
function placed({ request, status, data }: BlkAnswer): PlacedBytes {
  const { writable } = request.chain;
  const room = piecesLength(writable);
  if (room === 0) return { pieces: [], bytes: new Uint8Array(0) };
  const isRead = status === VIRTIO_BLK_S_OK && data.length > 0;
  if (!isRead) return { pieces: cutPieces(writable, room - 1, 1), bytes: Uint8Array.of(status) };
  const bytes = new Uint8Array(data.length + 1);
  bytes.set(data);
  bytes[data.length] = status;
  return { pieces: writable, bytes };
}
