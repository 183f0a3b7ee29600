/**
 * The trace as a Perfetto trace: calls as slices of their threads, what happens in the machine on tracks of
 * its IOMMUs, domains and devices, and arrows from a mapping over each DMA through it to its end, and from a DMA to its fault.
 *
 * A mapping is on the track of its domain: the event stream does not say which unit it is for.
 */
import { isErrno } from '../../base/errno.ts';
import { decisiveRefusal } from '../explain/trouble.ts';
import type {
  CallInfo,
  DmaEvent,
  DriverCallEvent,
  FaultEvent,
  LeaveEvent,
  MapEvent,
  OfKind,
  Stamped,
  TraceEvent,
} from '../../base/events.ts';
import { NewestMap } from '../../base/newest-map.ts';
import type { TraceHeader } from '../trace/format.ts';
import type { TraceSink } from '../trace/sink.ts';
import {
  SEQ_INCREMENTAL_STATE_CLEARED,
  TRACK_EVENT_TYPE,
  type DebugAnnotation,
  type TracePacket,
  type TrackEvent,
} from './perfetto-packets.ts';
import { MappedSizes } from './mapped-sizes.ts';
import { PerfettoTracks } from './perfetto-tracks.ts';
import { SeenMappings } from './seen-mappings.ts';
import { momentOf } from './times.ts';
import { refusalText, valueText } from './value-text.ts';

/** Stores that are remembered for what they set going. */
const MOST_STORES = 65536;
/** All packets are of one sequence. */
const SEQUENCE = 1;

/** Packets in the order of their times. */
export function perfettoView(emit: (packet: TracePacket) => void, header: TraceHeader): TraceSink {
  return new PerfettoView(emit, header);
}

type Handlers = {
  readonly [K in TraceEvent['kind']]?: (event: OfKind<TraceEvent, K>, stamped: Stamped) => void;
};
type Values = Readonly<Record<string, unknown>>;
/** What an instant has besides its track, time and name. */
interface Instant {
  readonly category: string;
  readonly values?: Values;
  readonly flows?: readonly bigint[];
  readonly ends?: readonly bigint[];
}

class PerfettoView implements TraceSink {
  readonly #emit: (packet: TracePacket) => void;
  readonly #tracks: PerfettoTracks;
  #isFirst = true;
  #flow = 0n;
  /** Track of each call that goes on. */
  readonly #calls = new Map<number, bigint>();
  readonly #mappings = new Map<string, SeenMappings>();
  /** Which domain a device uses, by its name and PASID. */
  readonly #domains = new Map<string, string>();
  /** Flow of each store, by its number: of the newest. */
  readonly #stores = new NewestMap<number, bigint>(MOST_STORES);
  readonly #sizes = new MappedSizes();
  /** A fault is heard of before the DMA it stopped. */
  #faults: { readonly event: FaultEvent; readonly stamped: Stamped }[] = [];

  constructor(emit: (packet: TracePacket) => void, { program }: TraceHeader) {
    this.#emit = emit;
    this.#tracks = new PerfettoTracks(program, (track_descriptor) => {
      this.#packet({ track_descriptor });
    });
  }

  take(stamped: Stamped): void {
    const { event } = stamped;
    if (this.#faults.length > 0 && event.kind !== 'dma' && event.kind !== 'log') this.#showFaults();
    // cast: the handler of a kind takes the events of that kind
    (this.#handlers[event.kind] as ((e: TraceEvent, s: Stamped) => void) | undefined)?.(
      event,
      stamped,
    );
  }
  flush(): void {
    this.#showFaults();
  }

  readonly #handlers: Handlers = {
    enter: (event, stamped) => this.#enter(event, stamped),
    leave: (event, stamped) => this.#leave(event, stamped),
    driver: (event) => this.#attached(event),
    map: (event, stamped) => this.#map(event, stamped),
    unmap: (event, stamped) => this.#unmap(event, stamped),
    dma: (event, stamped) => this.#dma(event, stamped),
    fault: (event, stamped) => void this.#faults.push({ event, stamped }),
    'pages-lost': ({ by, pid, ranges }, stamped) =>
      this.#instant(stamped, this.#tracks.machine(), `${by} takes pinned memory`, {
        category: 'iommu',
        values: { pid, bytes: ranges.reduce((sum, { length }) => sum + length, 0n) },
      }),
    invalidate: ({ unit, cache, facts }, stamped) =>
      this.#instant(stamped, this.#tracks.unit(unit), `invalidate ${cache}`, {
        category: 'iommu',
        values: facts,
      }),
    interrupt: ({ device, index, vector, delivered }, stamped) =>
      this.#instant(stamped, this.#tracks.device(device.id), `${index} ${vector}`, {
        category: 'interrupt',
        values: { delivered },
        flows: this.#flowsFrom(stamped),
      }),
    mmio: ({ device, region, register, offset, width, write, value }, stamped) => {
      const name = `${write ? 'write' : 'read'} ${register ?? `BAR ${region}`}`;
      this.#instant(stamped, this.#tracks.device(device.id), name, {
        category: 'mmio',
        values: { region, offset, width, value },
        flows: write ? [this.#flowOfStore(stamped.seq)] : [],
      });
    },
    signal: ({ pid, tid = pid, signal, address, why }, stamped) =>
      this.#instant(stamped, this.#tracks.thread(pid, tid), signal, {
        category: 'signal',
        values: {
          ...(address !== undefined && { address }),
          ...(why && { why: refusalText(why) }),
        },
      }),
    exit: ({ pid, status, signal }, stamped) =>
      this.#instant(stamped, this.#tracks.thread(pid, pid), 'exit', {
        category: 'process',
        values: { ...(status !== undefined && { status }), ...(signal && { signal }) },
      }),
    life: ({ what, who, detail }, stamped) =>
      this.#instant(stamped, this.#tracks.device(who.id), what, {
        category: 'device',
        ...(detail !== undefined && { values: { detail } }),
      }),
    log: ({ text, level }, stamped) =>
      this.#instant(stamped, this.#tracks.machine(), text, { category: 'log', values: { level } }),
    warn: ({ id, text }, stamped) =>
      this.#instant(stamped, this.#tracks.machine(), `WARNING ${id}`, {
        category: 'log',
        values: { text },
      }),
  };

  // --- calls ---

  #enter(event: CallInfo, stamped: Stamped): void {
    const { pid, tid = pid } = event;
    if (event.what !== 'syscall' || pid === undefined || tid === undefined) return;
    if (stamped.comm !== undefined) this.#tracks.nameProcess(pid, stamped.comm);
    const track_uuid = this.#tracks.thread(pid, tid);
    this.#calls.set(stamped.call ?? stamped.seq, track_uuid);
    this.#track(stamped, {
      type: TRACK_EVENT_TYPE.begin,
      track_uuid,
      name: event.command ?? event.name,
      categories: ['syscall'],
      ...annotated({ ...fileOf(event), ...event.args }),
    });
  }
  #leave(event: LeaveEvent, stamped: Stamped): void {
    const { pinned } = event;
    if (pinned !== undefined) this.#counter(stamped, this.#tracks.pinned(), BigInt(pinned));
    if (event.what !== 'syscall') return;
    this.#countCall(event, stamped);
    const track_uuid = this.#calls.get(stamped.call ?? -1);
    const answer = annotated({ ...event.after, ...resultOf(event) });
    if (track_uuid !== undefined) {
      this.#calls.delete(stamped.call ?? -1);
      this.#track(stamped, { type: TRACK_EVENT_TYPE.end, track_uuid, ...answer });
      return;
    }
    // One that nobody heard begin has failed at once.
    const { pid, tid = pid } = event;
    if (pid === undefined || tid === undefined) return;
    this.#instant(stamped, this.#tracks.thread(pid, tid), event.command ?? event.name, {
      category: 'syscall',
      values: { ...fileOf(event), ...event.args, ...event.after, ...resultOf(event) },
    });
  }

  // --- mappings and DMA ---

  #attached({ op, domain, device, pasid, result }: DriverCallEvent): void {
    if (result || !domain || !device) return;
    if (op === 'attach_dev' || op === 'set_dev_pasid') {
      this.#domains.set(userOf(device.id, op === 'attach_dev' ? undefined : pasid), domain.id);
    }
  }
  #map({ domain, iova, pa, length, prot }: MapEvent, stamped: Stamped): void {
    const seen = this.#mappings.get(domain.id) ?? new SeenMappings();
    this.#mappings.set(domain.id, seen);
    const id = ++this.#flow;
    seen.add(iova, length, id);
    this.#instant(stamped, this.#tracks.domain(domain.id), 'map', {
      category: 'iommu',
      values: {
        iova,
        ...(pa !== undefined && { pa }),
        length,
        ...(prot !== undefined && { prot }),
      },
      flows: [id],
    });
    this.#count(stamped, domain.id, seen);
  }
  #unmap({ domain, iova, length }: MapEvent, stamped: Stamped): void {
    const seen = this.#mappings.get(domain.id);
    const ends = seen?.remove(iova, length) ?? [];
    this.#instant(stamped, this.#tracks.domain(domain.id), 'unmap', {
      category: 'iommu',
      values: { iova, length },
      ends,
    });
    if (seen) this.#count(stamped, domain.id, seen);
  }
  #count(stamped: Stamped, domain: string, { bytes, count }: SeenMappings): void {
    this.#counter(stamped, this.#tracks.mapped(domain), bytes);
    this.#counter(stamped, this.#tracks.mappings(domain), BigInt(count));
  }
  /** What a program has mapped: in an IOAS, or in a container. */
  #countCall(event: LeaveEvent, stamped: Stamped): void {
    const changed = this.#sizes.leave(event);
    if (changed) this.#counter(stamped, this.#tracks.addressSpace(changed.name), changed.bytes);
  }
  #counter(stamped: Stamped, track_uuid: bigint, counter_value: bigint): void {
    this.#track(stamped, { type: TRACK_EVENT_TYPE.counter, track_uuid, counter_value });
  }
  #dma(event: DmaEvent, stamped: Stamped): void {
    const { device, pasid, write, iova, length, ok, refusal } = event;
    const mine = this.#faults.filter((each) => each.event.device.id === device.id);
    const blocked = mine.map(() => ++this.#flow);
    const domain = this.#domains.get(userOf(device.id, pasid));
    const places = event.list ?? [{ at: iova, length }];
    const through = places.map(({ at }) => this.#mappings.get(domain ?? '')?.at(at));
    this.#instant(stamped, this.#tracks.device(device.id), `DMA ${write ? 'write' : 'read'}`, {
      category: 'dma',
      values: { iova, length, ok, ...(refusal && { why: refusalText(refusal) }) },
      flows: [
        ...new Set(through.filter((id) => id !== undefined)),
        ...blocked,
        ...this.#flowsFrom(stamped),
      ],
    });
    this.#faults = this.#faults.filter((each) => !mine.includes(each));
    for (const [n, fault] of mine.entries()) this.#fault(fault.event, stamped, [blocked[n]!]);
    this.#showFaults();
  }
  /** Faults of no DMA that was heard of. */
  #showFaults(): void {
    for (const { event, stamped } of this.#faults) this.#fault(event, stamped, []);
    this.#faults = [];
  }
  #fault(event: FaultEvent, stamped: Stamped, ends: readonly bigint[]): void {
    const { unit, device, iova, write, code, reason } = event;
    this.#instant(stamped, this.#tracks.unit(unit), 'fault', {
      category: 'iommu',
      values: { device: device.id, iova, write, code, reason },
      ends,
    });
  }

  /** A store and what it sets going are joined: transfers, and the interrupt at their end. */
  #flowOfStore(seq: number): bigint {
    const id = ++this.#flow;
    this.#stores.add(seq, id);
    return id;
  }
  #flowsFrom({ cause = -1 }: Stamped): readonly bigint[] {
    const id = this.#stores.get(cause);
    return id === undefined ? [] : [id];
  }

  // --- packets ---

  #instant(stamped: Stamped, track_uuid: bigint, name: string, instant: Instant): void {
    const { category, values = {}, flows = [], ends = [] } = instant;
    this.#track(stamped, {
      type: TRACK_EVENT_TYPE.instant,
      track_uuid,
      name,
      categories: [category],
      ...(flows.length > 0 && { flow_ids: flows }),
      ...(ends.length > 0 && { terminating_flow_ids: ends }),
      ...annotated(values),
    });
  }
  #track(stamped: Stamped, track_event: TrackEvent): void {
    this.#packet({ timestamp: BigInt(Math.round(momentOf(stamped))), track_event });
  }
  #packet(packet: Omit<TracePacket, 'trusted_packet_sequence_id'>): void {
    const first = this.#isFirst ? { sequence_flags: SEQ_INCREMENTAL_STATE_CLEARED } : {};
    this.#isFirst = false;
    this.#emit({ ...packet, trusted_packet_sequence_id: SEQUENCE, ...first });
  }
}

function userOf(device: string, pasid: number | undefined): string {
  return `${device} ${pasid ?? ''}`;
}
function fileOf({ fd, file }: CallInfo): Values {
  return { ...(fd !== undefined && { fd }), ...(file !== undefined && { file }) };
}
function resultOf(call: LeaveEvent): Values {
  const { result } = call;
  if (result === undefined) return {};
  const decisive = decisiveRefusal(call);
  return {
    result: isErrno(result) ? result.name : result,
    ...(decisive && { why: refusalText(decisive) }),
  };
}

function annotated(values: Values): { debug_annotations?: readonly DebugAnnotation[] } {
  const all = Object.entries(values).map(([name, value]) => annotation(name, value));
  return all.length > 0 ? { debug_annotations: all } : {};
}
/** u64 values of calls are addresses; all that is no number is text. */
function annotation(name: string, value: unknown): DebugAnnotation {
  if (typeof value === 'bigint') {
    return value < 0n ? { name, int_value: value } : { name, pointer_value: value };
  }
  if (typeof value === 'boolean') return { name, bool_value: value };
  if (typeof value === 'number' && Number.isInteger(value)) {
    return value < 0 ? { name, int_value: BigInt(value) } : { name, uint_value: BigInt(value) };
  }
  return { name, string_value: valueText(value, name) };
}
