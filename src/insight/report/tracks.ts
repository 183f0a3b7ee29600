/** The events of a story on tracks of time: a track for each process, device, unit, and one for domains. */
import { lastAtOrBelow } from '../../base/binary-search.ts';
import type { Stamped, TraceEvent } from '../../base/events.ts';
import { isTrouble } from '../../base/trace.ts';
import { momentOf } from '../views/times.ts';
import type { Story } from './story.ts';

/** Something on a track, from one moment to another. */
export interface Slice {
  readonly seq: number;
  readonly kind: TraceEvent['kind'];
  /** Nanoseconds, by momentOf(). */
  readonly begin: number;
  readonly end: number;
  /** It tells of something that did not work. */
  readonly isBad: boolean;
}
/** One line of the timeline. */
export interface Track {
  readonly name: string;
  /** In the order they began. */
  readonly slices: Slice[];
}

/** Every event once; what happens in no time is a slice of no length. */
export function tracksOf(story: Story): Track[] {
  const tracks = new Map<string, Track>();
  for (const stamped of story.events) {
    const name = trackOf(stamped.event);
    if (name === undefined) continue;
    let track = tracks.get(name);
    if (!track) tracks.set(name, (track = { name, slices: [] }));
    track.slices.push(sliceOf(story, stamped));
  }
  const order = (name: string): number => ORDER.findIndex((begin) => name.startsWith(begin));
  return [...tracks.values()].sort((a, b) => order(a.name) - order(b.name) || byName(a, b));
}
const ORDER = ['process', 'timers', 'domains', 'unit', 'device', 'kernel log'];
function byName(a: Track, b: Track): number {
  return a.name.localeCompare(b.name, 'en', { numeric: true });
}

/** The name of its track. Undefined: it is shown by another event, or is bookkeeping. */
export function trackOf(event: TraceEvent): string | undefined {
  if ('unit' in event) return `unit ${event.unit}`;
  switch (event.kind) {
    case 'enter':
      return event.pid === undefined ? 'timers' : `process ${event.pid}`;
    case 'map':
    case 'unmap':
      return 'domains';
    case 'dma':
    case 'mmio':
    case 'interrupt':
      return `device ${event.device.id}`;
    case 'life':
      return `device ${event.who.id}`;
    case 'warn':
    case 'log':
      return 'kernel log';
    default:
      return undefined;
  }
}

function sliceOf(story: Story, stamped: Stamped): Slice {
  const { seq, event } = stamped;
  const begin = momentOf(stamped);
  const leave = story.calls.get(seq)?.leave;
  const isBad = isTrouble(event) || (leave !== undefined && isTrouble(leave.event));
  return { seq, kind: event.kind, begin, end: leave ? momentOf(leave) : begin, isBad };
}

/** The slice of a track at a moment or, with `within` nanoseconds of patience, near it: the last that began. */
export function sliceAt({ slices }: Track, ns: number, within: number): Slice | undefined {
  const last = lastAtOrBelow(slices, ns + within, ({ begin }) => begin);
  for (let n = last; n > Math.max(-1, last - 50); n--) {
    if (slices[n]!.end >= ns - within) return slices[n];
  }
  return undefined;
}
