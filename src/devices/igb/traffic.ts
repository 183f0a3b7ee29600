/** Frames on their way: from the transmitter to the wire or back, and from there through the filters to the queues. */
import type { Wire } from '../host-services.ts';
import type { Cells } from './cells.ts';
import { Filters } from './filters.ts';
import type { Interrupts } from './interrupts.ts';
import type { Link } from './link.ts';
import { padded } from './offloads.ts';
import type { Receive } from './receive.ts';
import { CAUSE, CTRL, QUEUES, RCTL } from './registers.ts';
import type { Rss } from './rss.ts';
import type { Describing } from './rx-descriptor.ts';
import { isMulticast, type Statistics } from './statistics.ts';
import { isPooled, Pools } from './pools.ts';
import type { IgbVf } from './vf.ts';
import type { VirtualPorts } from './virtual.ts';
import { headersOf } from './headers.ts';

const RXCSUM = { IP: 1 << 8, TRANSPORT: 1 << 9 } as const;
const NO_HASH = { hash: 0, type: 0 };

/** What frames meet. */
export interface TrafficParts {
  readonly cells: Cells;
  readonly wire: Wire;
  readonly link: Link;
  readonly rss: Rss;
  readonly receive: Receive;
  readonly statistics: Statistics;
  readonly interrupts: Interrupts;
  readonly virtual: VirtualPorts;
  /** Virtual functions that were ever there, by index. */
  readonly functions: readonly (IgbVf | undefined)[];
}

/** Where frames come from, and which pools may have them. */
interface Origin {
  readonly isLoopback: boolean;
  readonly pools: number;
}
const FROM_WIRE: Origin = { isLoopback: false, pools: 0xff };
const POOLS = QUEUES / 2;
/** Of DTXSWC: frames go from one pool to another. */
const SWITCHES = 1 << 31;
/** Of VMOLR: tags are taken out. */
const STRIPS = 1 << 30;

export class Traffic {
  readonly #parts: TrafficParts;

  constructor(parts: TrafficParts) {
    this.#parts = parts;
  }

  /** Frames of a transmit queue. */
  send(frames: readonly Uint8Array[], queue: number): void {
    const { statistics, link, wire, cells, virtual, functions } = this.#parts;
    statistics.sent(frames);
    const pool = queue % POOLS;
    functions[pool]?.count('vfgptc', frames);
    if (link.loopsBack) this.#arrived(frames, FROM_WIRE);
    else if (isPooled(cells, virtual.count) && cells.has('dtxswc', SWITCHES)) {
      wire.send(this.#switched(frames, pool));
    } else wire.send(frames);
  }
  /** Frames from the wire; `lost` more were too many for it. */
  received(frames: readonly Uint8Array[], lost: number): void {
    const { link, statistics, cells } = this.#parts;
    if (link.loopsBack || !cells.has('rctl', RCTL.EN)) return;
    if (lost > 0) statistics.missed(lost);
    this.#arrived(frames, FROM_WIRE);
  }

  /** Those of a pool that others here have asked for go to them; the others, and what is for many, go out too. */
  #switched(frames: readonly Uint8Array[], pool: number): readonly Uint8Array[] {
    const { cells, functions } = this.#parts;
    const pools = new Pools(cells, new Filters(cells));
    const others = 0xff & ~(1 << pool);
    const here = frames.filter((frame) => (pools.of(frame) & others) !== 0);
    if (here.length === 0) return frames;
    functions[pool]?.count('vfgptlbc', here);
    this.#arrived(here, { isLoopback: true, pools: others });
    return frames.filter((frame) => isMulticast(frame) || !here.includes(frame));
  }
  #arrived(arriving: readonly Uint8Array[], origin: Origin): void {
    const { cells, statistics, interrupts } = this.#parts;
    if (!cells.has('rctl', RCTL.EN)) return;
    const frames = arriving.map(padded);
    statistics.arrived(frames);
    const queues = this.#sorted(frames, origin);
    let written = 0;
    let missed = false;
    for (const [queue, mine] of queues.entries()) {
      if (!mine) continue;
      const stored = this.#deliver(queue, mine, origin);
      if (stored > 0) written |= 1 << queue;
      missed ||= stored < mine.length;
    }
    if (missed) interrupts.cause(CAUSE.RXO);
    if (written !== 0) interrupts.received(written);
  }
  #deliver(queue: number, frames: readonly Uint8Array[], origin: Origin): number {
    const { statistics, receive, virtual, functions } = this.#parts;
    const dma = virtual.dmaOf(queue);
    if (!dma) return 0;
    const describing = this.#describing(queue, origin.isLoopback);
    const stored = receive.deliver({ dma, queue, frames, describing });
    statistics.received(stored);
    const owner = functions[queue % POOLS];
    owner?.count('vfgprc', stored);
    if (origin.isLoopback) owner?.count('vfgprlbc', stored);
    return stored.length;
  }
  /** Those that are for us, by queue. */
  #sorted(frames: readonly Uint8Array[], origin: Origin): (Uint8Array[] | undefined)[] {
    const { cells, statistics, virtual } = this.#parts;
    const filters = new Filters(cells);
    const pools = isPooled(cells, virtual.count) ? new Pools(cells, filters) : undefined;
    const queues: (Uint8Array[] | undefined)[] = new Array<undefined>(QUEUES).fill(undefined);
    for (const frame of frames) {
      const verdict = filters.verdict(frame);
      if (verdict === 'long') statistics.count('roc');
      else if (pools) {
        const asked = pools.of(frame) || (verdict === 'take' ? pools.fallback : 0);
        this.#intoPools(queues, frame, filters, asked & origin.pools);
      } else if (verdict === 'take') (queues[this.#hashOf(frame, filters)] ??= []).push(frame);
    }
    return queues;
  }
  /** A pool has two queues, if the hash is to choose between them. */
  #intoPools(
    queues: (Uint8Array[] | undefined)[],
    frame: Uint8Array,
    filters: Filters,
    pools: number,
  ): void {
    for (let pool = 0; pools >>> pool !== 0; pool++) {
      if (((pools >>> pool) & 1) === 0) continue;
      const second = (this.#hashOf(frame, filters) & 1) !== 0;
      (queues[pool + (second ? POOLS : 0)] ??= []).push(frame);
    }
  }
  /** 0 where nothing is hashed. */
  #hashOf(frame: Uint8Array, filters: Filters): number {
    const { rss } = this.#parts;
    if (!rss.isOn) return 0;
    return rss.queueOf(rss.hash(frame, headersOf(frame, filters.typeAt(frame))));
  }
  #describing(queue: number, isLoopback: boolean): Describing {
    const { cells, rss, virtual } = this.#parts;
    const rxcsum = cells.get('rxcsum');
    const vet = cells.get('vet') & 0xffff;
    const pooled = isPooled(cells, virtual.count);
    const strips = pooled ? cells.has('vmolr', STRIPS, queue % POOLS) : cells.has('ctrl', CTRL.VME);
    return {
      strip: strips ? vet : -1,
      vet,
      checksIp: (rxcsum & RXCSUM.IP) !== 0,
      checksTransport: (rxcsum & RXCSUM.TRANSPORT) !== 0,
      isLoopback,
      hash: rss.isOn ? (frame, headers) => rss.hash(frame, headers) : () => NO_HASH,
    };
  }
}
