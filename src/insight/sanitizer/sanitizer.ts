/**
 * The DMA sanitizer: what a program does wrong with its mappings although nothing tells it so, with the places in it that
 * belong together. It listens to the event stream and changes nothing.
 */
import { isErrno } from '../../base/errno.ts';
import type {
  DmaEvent,
  LeaveEvent,
  OfKind,
  PagesLostEvent,
  Stamped,
  TraceEvent,
} from '../../base/events.ts';
import type { Choice, Hearable } from '../../base/hearing.ts';
import { NewestMap } from '../../base/newest-map.ts';
import { hex } from '../../base/u64.ts';
import type { IommuCore } from '../../core/contract/iommu-core.ts';
import { requestsOf } from '../../uapi/decode.ts';
import { TOLD_BY_FAULT } from '../explain/journal.ts';
import type { CallSite, CallSites } from '../sites/call-site.ts';
import type { Finding, FindingKind, FindingPlace } from './finding.ts';
import { DeviceLeftovers, SETTING_UP } from './device-leftovers.ts';
import { LeftObjects } from './left-objects.ts';
import { leftAtDevice, leftMappings, leftObjects, type Leak } from './leaks.ts';
import { LostMemory } from './lost-memory.ts';
import { mappedNow } from './mapped-now.ts';
import type { MappingCall } from './mapping-call.ts';
import { MappingCalls, WHOLE_SPACE } from './mapping-calls.ts';
import {
  askedRange,
  MAPPING_COMMANDS,
  spaceOf,
  type AskedMap,
  type AskedUnmap,
} from './mapping-commands.ts';

/** What DMA of a finding has done that was not stopped. */
const REACHED: Partial<Record<FindingKind, string>> = {
  'failed-map-used': 'it reached what was mapped before',
  'lost-memory-used': 'it reached memory that its program no longer sees',
  'transfer-overruns': 'it went on in other memory there',
};
/** Calls that are counted for each file. */
const OPENS = new Set(['openat', 'close']);
/** What may leak is told by these. */
const LIVES = ['life', 'object-born', 'object-gone'] as const;
/** Stores that DMA still to come may be of. */
const MOST_STARTERS = 1024;

/** What it works with. */
export interface SanitizerParts {
  readonly kinds: ReadonlySet<FindingKind>;
  /** Where calls come from; undefined: nothing knows. */
  readonly sites: CallSites | undefined;
  /** Whose page tables say what is mapped when memory is lost first. Undefined: mappings are heard from the start. */
  readonly core?: IommuCore;
  /** Told at once. */
  readonly found: (finding: Finding) => void;
}

/** A store that may set DMA going: whose, and where in its program. */
interface Starter {
  readonly pid: number;
  readonly site: CallSite | undefined;
}
/** DMA, and the store that set it going, if it is known. */
interface StartedDma {
  readonly event: DmaEvent;
  readonly starter: Starter | undefined;
}

/** Pages went, and where in the program that was. */
interface PagesLost extends PagesLostEvent {
  readonly site: CallSite | undefined;
}

type Row<E> = (event: E, stamped: Stamped) => void;
type Rows = { [K in TraceEvent['kind']]?: Row<OfKind<TraceEvent, K>> };

/** Listens to one machine. */
export class DmaSanitizer {
  readonly #parts: SanitizerParts;
  readonly #mappings: MappingCalls;
  /** What may leak. Undefined, as what follows: nobody asks for it. */
  readonly #left:
    { readonly objects: LeftObjects; readonly atDevices: DeviceLeftovers } | undefined;
  /** From the first loss on, where tables can be asked; undefined also where nobody wants to know. */
  #memory: LostMemory<PagesLost> | undefined;
  readonly #events = new Set<Hearable>(['dma', 'store']);
  /** Sites of calls that go on, by their number. */
  readonly #sites = new Map<number, CallSite | undefined>();
  /** The reason of the newest fault, by device. */
  readonly #faults = new Map<string, string>();
  /** Opens of a file that maps. */
  readonly #opens = new Map<string, number>();
  /** Where the newest stores to registers were, by the numbers of their events. */
  readonly #starters = new NewestMap<number, Starter>(MOST_STARTERS);
  #pid = 0;

  constructor(parts: SanitizerParts) {
    this.#parts = parts;
    const { kinds } = parts;
    if (kinds.has('leak')) {
      this.#left = { objects: new LeftObjects(), atDevices: new DeviceLeftovers() };
    }
    this.#mappings = new MappingCalls({ comparesRights: kinds.has('rights-differ') });
    if (this.#left) for (const what of LIVES) this.#events.add(what);
    if (!kinds.has('memory-lost') && !kinds.has('lost-memory-used')) return;
    this.#events.add('pages-lost');
    if (!parts.core) this.#followMemory();
  }
  /** What is mapped is followed from now on. */
  #followMemory(): LostMemory<PagesLost> {
    this.#events.add('map').add('unmap');
    return (this.#memory = new LostMemory());
  }

  /** What it needs to hear. */
  get choice(): Choice {
    const requests = requestsOf((command) => this.#keepsPlace(command));
    return {
      events: this.#events,
      enters: this.#left !== undefined,
      calls: (name, request) => (request === undefined ? OPENS.has(name) : requests.has(request)),
    };
  }
  /** A listener for `Trace.listenTo`, with its choice, or for `Trace.listen`. */
  readonly take = (stamped: Stamped): void => {
    // cast: the row of a kind takes the events of that kind
    const row = this.#rows[stamped.event.kind] as Row<TraceEvent> | undefined;
    row?.(stamped.event, stamped);
  };
  readonly #rows: Rows = {
    enter: ({ pid, command }, { call = -1 }) => {
      this.#pid = pid ?? this.#pid;
      this.#enter(call, command);
    },
    leave: (event, { call = -1 }) => {
      this.#pid = event.pid ?? this.#pid;
      this.#leave(event, call);
    },
    map: (event) => this.#memory?.mapped(event),
    unmap: (event) => this.#memory?.unmapped(event),
    'pages-lost': (event) => {
      const memory = this.#events.has('pages-lost') && (this.#memory ?? this.#askTables());
      if (memory) this.#lose({ ...event, site: this.#parts.sites?.here() }, memory);
    },
    fault: ({ device, code, reason }) => {
      this.#faults.set(device.id, `fault ${hex(code)}, ${reason}`);
    },
    mmio: ({ write }, { seq }) => {
      if (write) this.#stored(seq);
    },
    dma: (event, { cause = -1 }) => this.#dma({ event, starter: this.#starters.get(cause) }),
    life: ({ what, who }) => {
      if (what !== 'device-close' || !this.#left) return;
      this.#tellLeaks(leftAtDevice(this.#left.atDevices.closed(who.id)));
    },
    'object-born': ({ object }, { seq, call = -1 }) => {
      this.#left?.objects.born(seq, object, this.#sites.get(call));
    },
    'object-gone': ({ object }, { call = -1 }) => this.#left?.objects.gone(object, call),
  };

  #keepsPlace(command: string): boolean {
    return hasPlace(command) || (this.#left !== undefined && setsUp(command));
  }
  /** What a call makes has its place: else that is asked for at its end, when the caller still waits. */
  #enter(call: number, command = ''): void {
    if (this.#left && this.#keepsPlace(command)) this.#sites.set(call, this.#parts.sites?.here());
  }
  #siteOf({ command = '' }: LeaveEvent, call: number): CallSite | undefined {
    if (!this.#left) return this.#keepsPlace(command) ? this.#parts.sites?.here() : undefined;
    const site = this.#sites.get(call);
    this.#sites.delete(call);
    return site;
  }
  #leave(event: LeaveEvent, call: number): void {
    const site = this.#siteOf(event, call);
    const { file = '', name, result } = event;
    if (name === 'openat' && !isErrno(result)) {
      this.#opens.set(file, (this.#opens.get(file) ?? 0) + 1);
    } else if (name === 'close') this.#close(file, call);
    const asked = askedRange(event);
    if (asked?.what === 'map') this.#map(asked, event, site);
    else if (!isErrno(result)) this.#did(event, asked, site);
  }

  /** Something other than a mapping succeeded. */
  #did(event: LeaveEvent, unmap: AskedUnmap | undefined, site: CallSite | undefined): void {
    if (unmap) this.#unmap(unmap, event, site);
    else if (event.command === 'IOMMU_DESTROY') this.#destroyed(event, site);
    else this.#left?.atDevices.did(event, site);
  }

  #map(asked: AskedMap, event: LeaveEvent, site: CallSite | undefined): void {
    const { ioas, iova, length, rights } = asked;
    const { command = '', pid = 0, result } = event;
    if (length === 0n) return;
    const space = spaceOf(event, ioas);
    const va = asked.va ?? this.#copiedVa(asked, event);
    const { read, write } = rights;
    const failed = isErrno(result) ? result.name : undefined;
    const own = { command, pid, space, va, read, write, site, failed, undone: undefined };
    const call: MappingCall = { iova, length, ...own };
    if (failed !== undefined) {
      this.#mappings.addFailed(call);
      return;
    }
    // A copy says itself that it is the same memory, and what for.
    const other = asked.source ? undefined : this.#mappings.otherRights(call);
    if (other) {
      this.#found('rights-differ', {
        pid,
        about: `of memory ${hex(call.va ?? 0n)}`,
        details: [
          `iova ${hex(iova)} is mapped ${rightsText(call)}, iova ${hex(other.iova)} ${rightsText(other)}`,
        ],
        places: [
          { title: `mapped ${rightsText(call)} by ${command} here:`, site },
          mappedBy(other),
        ],
      });
    }
    this.#mappings.add(call);
  }
  /** Where the memory of a copied mapping is. */
  #copiedVa({ source }: AskedMap, event: LeaveEvent): bigint | undefined {
    const copied = source && this.#mappings.of(spaceOf(event, source.ioas), source.iova);
    return copied?.va === undefined ? undefined : copied.va + source!.iova - copied.iova;
  }
  #destroyed(event: LeaveEvent, site: CallSite | undefined): void {
    const { args, command = '' } = event;
    // Ids are of one series: where it is no IOAS, nothing was mapped under it.
    this.#mappings.end(spaceOf(event, Number(args?.['id'])), { command, site });
  }
  #unmap(asked: AskedUnmap, event: LeaveEvent, site: CallSite | undefined): void {
    const { ioas, iova, length, done, isAll } = asked;
    const { command = '', pid = 0 } = event;
    const space = spaceOf(event, ioas);
    const range = isAll ? WHOLE_SPACE : { iova, length };
    if (done > 0n) this.#mappings.undo(space, range, { command, site });
    // Holes are nobody's mistake, as long as nothing stays in the range.
    if (isAll || done >= length) return;
    if (done > 0n && !this.#mappings.someIn(space, range)) return;
    this.#found('unmap-short', {
      pid,
      about: `of ${hex(iova)} +${hex(length)}`,
      details: [
        `the call succeeded and removed ${done === 0n ? 'nothing' : `${hex(done)} bytes only`}`,
      ],
      places: [{ title: `unmapped by ${command} here:`, site }],
    });
  }

  /** A store to a register may set DMA going. */
  #stored(seq: number): void {
    const pid = this.#parts.core?.env.current?.pid ?? this.#pid;
    this.#starters.add(seq, { pid, site: this.#parts.sites?.here() });
  }
  #dma(dma: StartedDma): void {
    const { ok, refusal } = dma.event;
    if (refusal?.rule === TOLD_BY_FAULT) this.#blocked(dma);
    else if (ok) this.#reached(dma);
  }
  /** Its pieces are made when they are asked for. */
  #reached(dma: StartedDma): void {
    const { event } = dma;
    if (this.#mappings.someFailed) {
      for (const { iova } of event.pieces) this.#usesFailed(dma, iova);
    }
    if (this.#memory?.isSome) this.#usesLost(dma, this.#memory);
    if (event.list || !this.#parts.kinds.has('transfer-overruns')) return;
    // Memory in a row has frames in a row: one piece never is of two memories.
    if (event.pieces.length > 1) this.#overruns(dma);
  }
  /** A transfer in one go from one mapping into another, whose memory does not go on from the first one's. */
  #overruns(dma: StartedDma): void {
    const { pieces } = dma.event;
    for (let n = 1; n < pieces.length; n++) {
      const { iova } = pieces[n]!;
      const [before, behind] = [iova - 1n, iova].map((at) => this.#mappings.liveAt(at));
      if (!before || !behind || before === behind || isOneMemory(before, behind)) continue;
      this.#ofDevice('transfer-overruns', dma, iova, [
        mappedBy(before, 'it began in what is '),
        mappedBy(behind, 'and goes on in what is '),
      ]);
      return;
    }
  }
  /** Memory is lost first: what is mapped the tables say, which lose nothing by it. */
  #askTables(): LostMemory<PagesLost> | undefined {
    const { core } = this.#parts;
    if (!core) return undefined;
    const memory = this.#followMemory();
    for (const mapped of mappedNow(core, this.#mappings.live())) memory.mapped(mapped);
    core.env.trace.rechoose();
    return memory;
  }
  #lose(lost: PagesLost, memory: LostMemory<PagesLost>): void {
    const ranges = memory.lose(lost.ranges, lost);
    const mapping = ranges[0] && this.#mappings.liveAt(ranges[0].iova);
    // Not of any call: what the kernel has mapped by itself.
    if (!mapping) return;
    const bytes = ranges.reduce((sum, { length }) => sum + length, 0n);
    this.#found('memory-lost', {
      pid: lost.pid,
      about: `of ${bytes} byte(s) at iova ${hex(ranges[0]!.iova)}`,
      details: ['devices go on using the memory, which its program no longer sees'],
      places: [lostBy(lost), mappedBy(mapping)],
    });
  }
  #usesLost(dma: StartedDma, memory: LostMemory<PagesLost>): void {
    for (const piece of dma.event.pieces) {
      const lost = memory.reached(piece);
      const mapping = lost && this.#mappings.liveAt(lost.iova);
      if (!mapping) continue;
      const iova = piece.iova > lost.iova ? piece.iova : lost.iova;
      this.#ofDevice('lost-memory-used', dma, iova, [lostBy(lost.loss), mappedBy(mapping)]);
      return;
    }
  }
  #blocked(dma: StartedDma): void {
    const iova = blockedAt(dma.event);
    if (this.#usesFailed(dma, iova)) return;
    const live = this.#mappings.liveAt(iova);
    if (live && !(dma.event.write ? live.write : live.read)) {
      this.#ofDevice('wrong-direction', dma, iova, [mappedBy(live)]);
      return;
    }
    const past = this.#mappings.undoneAt(iova);
    if (past && !live) {
      const { command = '', site } = past.undone ?? {};
      this.#ofDevice('dma-after-unmap', dma, iova, [
        { title: `unmapped by ${command} here:`, site },
        mappedBy(past, 'previously '),
      ]);
      return;
    }
    const around = live ? [mappedBy(live, 'for another device ')] : [];
    this.#ofDevice('dma-never-mapped', dma, iova, around);
  }
  /** Has a mapping of this address failed, and the device was sent there all the same? */
  #usesFailed(dma: StartedDma, iova: bigint): boolean {
    const failed = this.#mappings.failedAt(iova);
    if (!failed) return false;
    const instead = dma.event.ok ? this.#mappings.liveAt(iova) : undefined;
    const title = `its mapping by ${failed.command} failed with ${failed.failed ?? ''} here:`;
    this.#ofDevice('failed-map-used', dma, iova, [
      { title, site: failed.site },
      ...(instead ? [mappedBy(instead, 'instead it is ')] : []),
    ]);
    return true;
  }
  #ofDevice(kind: FindingKind, dma: StartedDma, iova: bigint, places: FindingPlace[]): void {
    const { starter } = dma;
    const { device, write, length, ok, pasid } = dma.event;
    const site = starter?.site;
    const why = ok ? REACHED[kind] : this.#faults.get(device.id);
    const what = `${write ? 'WRITE' : 'READ'} of size ${length} by ${device.id}`;
    const withPasid = pasid === undefined ? '' : `, pasid ${pasid}`;
    this.#found(kind, {
      pid: starter?.pid ?? this.#pid,
      about: `on iova ${hex(iova)}`,
      details: [`${what}${withPasid}${why === undefined ? '' : `: ${why}`}`],
      places: [...(site ? [startedBy(site)] : []), ...places],
    });
  }

  /** The last open copy of a file that maps is gone: what it leaves is counted. */
  #close(file: string, call: number): void {
    const open = (this.#opens.get(file) ?? 1) - 1;
    this.#opens.set(file, open);
    const mappings = open <= 0 ? this.#mappings.close(file) : [];
    if (!this.#left) return;
    const objects = this.#left.objects.inClose(call);
    this.#tellLeaks([...leftMappings(mappings), ...leftObjects(objects)]);
  }
  #tellLeaks(leaks: readonly Leak[]): void {
    for (const { about, details, places } of leaks) {
      this.#found('leak', { pid: this.#pid, about, details, places });
    }
  }
  #found(kind: FindingKind, finding: Omit<Finding, 'kind'>): void {
    if (this.#parts.kinds.has(kind)) this.#parts.found({ kind, ...finding });
  }
}

/** The first address that was blocked: the refusal says its page. */
function blockedAt({ refusal, iova, list }: DmaEvent): bigint {
  const page = BigInt(String(refusal?.facts['iova'] ?? iova));
  return list === undefined && page < iova ? iova : page;
}
/** Is the call one whose place belongs to what may be found? */
function hasPlace(command: string): boolean {
  return MAPPING_COMMANDS[command] !== undefined || command === 'IOMMU_DESTROY';
}
/** The same of what only leaks. */
function setsUp(command: string): boolean {
  return SETTING_UP[command] !== undefined || command.endsWith('_ALLOC');
}
/** Does the memory of the second go on where the first one's ends? Not known: it may. */
function isOneMemory(first: MappingCall, second: MappingCall): boolean {
  if (first.va === undefined || second.va === undefined) return true;
  return first.pid !== second.pid || second.va - first.va === second.iova - first.iova;
}
function startedBy(site: CallSite): FindingPlace {
  const title = site.isEarlier
    ? 'started by a store to a doorbell that no longer stops the program; it was stopped last here:'
    : 'started by a store here:';
  return { title, site };
}
function lostBy({ by, site }: PagesLost): FindingPlace {
  return { title: `taken from the program by ${by} here:`, site };
}
function rightsText({ read, write }: MappingCall): string {
  return read && write ? 'for reading and writing' : read ? 'for reading' : 'for writing';
}
function mappedBy(call: MappingCall, before = ''): FindingPlace {
  const where = `${hex(call.iova)} +${hex(call.length)} ${rightsText(call)}`;
  return { title: `${before}mapped by ${call.command} (${where}) here:`, site: call.site };
}
