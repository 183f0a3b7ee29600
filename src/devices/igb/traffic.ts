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
import type { Statistics } from './statistics.ts';
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
}

export class Traffic {
  readonly #parts: TrafficParts;

  constructor(parts: TrafficParts) {
    this.#parts = parts;
  }

  /** Frames of a transmit queue. */
  send(frames: readonly Uint8Array[]): void {
    const { statistics, link, wire } = this.#parts;
    statistics.sent(frames);
    if (link.loopsBack) this.#arrived(frames);
    else wire.send(frames);
  }
  /** Frames from the wire; `lost` more were too many for it. */
  received(frames: readonly Uint8Array[], lost: number): void {
    const { link, statistics, cells } = this.#parts;
    if (link.loopsBack || !cells.has('rctl', RCTL.EN)) return;
    if (lost > 0) statistics.missed(lost);
    this.#arrived(frames);
  }

  #arrived(arriving: readonly Uint8Array[]): void {
    const { cells, statistics, receive, interrupts } = this.#parts;
    if (!cells.has('rctl', RCTL.EN)) return;
    const frames = arriving.map(padded);
    statistics.arrived(frames);
    const queues = this.#sorted(frames);
    const describing = this.#describing();
    let written = 0;
    let missed = false;
    for (const [queue, mine] of queues.entries()) {
      if (!mine) continue;
      const stored = receive.deliver({ queue, frames: mine, describing });
      statistics.received(stored);
      if (stored.length > 0) written |= 1 << queue;
      missed ||= stored.length < mine.length;
    }
    if (missed) interrupts.cause(CAUSE.RXO);
    if (written !== 0) interrupts.received(written);
  }
  /** Those that are for us, by queue. */
  #sorted(frames: readonly Uint8Array[]): (Uint8Array[] | undefined)[] {
    const { cells, statistics } = this.#parts;
    const filters = new Filters(cells);
    const queues: (Uint8Array[] | undefined)[] = new Array<undefined>(QUEUES).fill(undefined);
    for (const frame of frames) {
      const verdict = filters.verdict(frame);
      if (verdict === 'long') statistics.count('roc');
      if (verdict === 'take') (queues[this.#queueOf(frame, filters)] ??= []).push(frame);
    }
    return queues;
  }
  #queueOf(frame: Uint8Array, filters: Filters): number {
    const { rss } = this.#parts;
    if (!rss.isOn) return 0;
    return rss.queueOf(rss.hash(frame, headersOf(frame, filters.typeAt(frame))));
  }
  #describing(): Describing {
    const { cells, rss } = this.#parts;
    const rxcsum = cells.get('rxcsum');
    const vet = cells.get('vet') & 0xffff;
    return {
      strip: cells.has('ctrl', CTRL.VME) ? vet : -1,
      vet,
      checksIp: (rxcsum & RXCSUM.IP) !== 0,
      checksTransport: (rxcsum & RXCSUM.TRANSPORT) !== 0,
      isLoopback: false,
      hash: rss.isOn ? (frame, headers) => rss.hash(frame, headers) : () => NO_HASH,
    };
  }
}
