/**
 * The DMA sanitizer: what a program does wrong with its mappings although nothing tells it so, with the places in it that
 * belong together. It listens to the event stream and changes nothing.
 */
import { isErrno } from '../../base/errno.ts';
import type { DmaEvent, LeaveEvent, Stamped } from '../../base/events.ts';
import { hex } from '../../base/u64.ts';
import { TOLD_BY_FAULT } from '../explain/journal.ts';
import type { CallSite, CallSites } from '../sites/call-site.ts';
import type { Finding, FindingKind, FindingPlace } from './finding.ts';
import { LeftObjects } from './left-objects.ts';
import { MappingCalls, type MappingCall } from './mapping-calls.ts';
import { askedRange, MAPPING_COMMANDS, type AskedRange } from './mapping-commands.ts';

/** Of a mapping, before the place it was made at. */
const WHOLE_SPACE = { iova: 0n, length: 1n << 65n };

/** Stores that DMA still to come may be of. */
const MOST_STARTERS = 1024;

/** What it works with. */
export interface SanitizerParts {
  readonly kinds: ReadonlySet<FindingKind>;
  /** Where calls come from; undefined: nothing knows. */
  readonly sites: CallSites | undefined;
  /** Told at once. */
  readonly found: (finding: Finding) => void;
}

/** DMA, and the store that set it going, if it is known. */
interface StartedDma extends DmaEvent {
  readonly starter: CallSite | undefined;
}

/** Listens to one machine. */
export class DmaSanitizer {
  readonly #parts: SanitizerParts;
  readonly #mappings: MappingCalls;
  readonly #left: LeftObjects;
  /** Sites of calls that go on, by their number. */
  readonly #sites = new Map<number, CallSite>();
  /** The reason of the newest fault, by device. */
  readonly #faults = new Map<string, string>();
  /** Opens of a file that maps. */
  readonly #opens = new Map<string, number>();
  /** Where the newest stores to registers were, by the numbers of their events. */
  readonly #starters = new Map<number, CallSite>();
  #pid = 0;

  constructor(parts: SanitizerParts) {
    this.#parts = parts;
    this.#mappings = new MappingCalls({ comparesRights: parts.kinds.has('rights-differ') });
    this.#left = new LeftObjects();
  }

  /** A listener for `Trace.listen`. */
  readonly take = (stamped: Stamped): void => {
    const { event, call = -1 } = stamped;
    switch (event.kind) {
      case 'enter':
        this.#pid = event.pid ?? this.#pid;
        this.#enter(call, event.command);
        break;
      case 'leave':
        this.#leave(event, call);
        break;
      case 'fault':
        this.#faults.set(event.device.id, `fault ${hex(event.code)}, ${event.reason}`);
        break;
      case 'mmio':
        if (event.write) this.#stored(stamped.seq);
        break;
      case 'dma':
        this.#dma({ ...event, starter: this.#starters.get(stamped.cause ?? -1) });
        break;
      case 'object-born':
        this.#left.born(stamped.seq, event.object, this.#sites.get(call));
        break;
      case 'object-gone':
        this.#left.gone(event.object, call);
    }
  };

  #enter(call: number, command = ''): void {
    if (!MAPPING_COMMANDS[command] && !command.endsWith('_ALLOC')) return;
    const site = this.#parts.sites?.here();
    if (site) this.#sites.set(call, site);
  }
  #leave(event: LeaveEvent, call: number): void {
    const site = this.#sites.get(call);
    this.#sites.delete(call);
    const { file = '', name, result } = event;
    if (name === 'openat' && !isErrno(result)) {
      this.#opens.set(file, (this.#opens.get(file) ?? 0) + 1);
    } else if (name === 'close') this.#close(file, call);
    const asked = askedRange(event);
    if (asked?.what === 'map') this.#map(asked, event, site);
    else if (asked && !isErrno(result)) this.#unmap(asked, event, site);
  }

  #map(asked: AskedRange, event: LeaveEvent, site: CallSite | undefined): void {
    const { space, iova, length, va, rights } = asked;
    const { command = '', pid = 0, result } = event;
    if (iova === undefined) return;
    const call = { command, pid, space, iova, length, va, ...rights, site };
    if (isErrno(result)) {
      this.#mappings.addFailed({ ...call, failed: result.name });
      return;
    }
    const other = this.#mappings.otherRights(call);
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
  #unmap(asked: AskedRange, event: LeaveEvent, site: CallSite | undefined): void {
    const { space, iova = 0n, length, done, isAll } = asked;
    const { command = '', pid = 0 } = event;
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
    const site = this.#parts.sites?.here();
    if (!site) return;
    this.#starters.set(seq, site);
    const [oldest] = this.#starters.keys();
    if (this.#starters.size > MOST_STARTERS) this.#starters.delete(oldest!);
  }
  #dma(event: StartedDma): void {
    if (event.refusal?.rule === TOLD_BY_FAULT) this.#blocked(event);
    else if (event.ok && this.#mappings.someFailed) {
      for (const { iova } of event.pieces) this.#usesFailed(event, iova);
    }
  }
  #blocked(event: StartedDma): void {
    const iova = blockedAt(event);
    if (this.#usesFailed(event, iova)) return;
    const live = this.#mappings.liveAt(iova);
    if (live && !(event.write ? live.write : live.read)) {
      this.#ofDevice('wrong-direction', event, iova, [mappedBy(live)]);
      return;
    }
    const past = this.#mappings.undoneAt(iova);
    if (past && !live) {
      const { command = '', site } = past.undone ?? {};
      this.#ofDevice('dma-after-unmap', event, iova, [
        { title: `unmapped by ${command} here:`, site },
        mappedBy(past, 'previously '),
      ]);
      return;
    }
    const around = live ? [mappedBy(live, 'for another device ')] : [];
    this.#ofDevice('dma-never-mapped', event, iova, around);
  }
  /** Has a mapping of this address failed, and the device was sent there all the same? */
  #usesFailed(event: StartedDma, iova: bigint): boolean {
    const failed = this.#mappings.failedAt(iova);
    if (!failed) return false;
    const instead = event.ok ? this.#mappings.liveAt(iova) : undefined;
    const title = `its mapping by ${failed.command} failed with ${failed.failed ?? ''} here:`;
    this.#ofDevice('failed-map-used', event, iova, [
      { title, site: failed.site },
      ...(instead ? [mappedBy(instead, 'instead it is ')] : []),
    ]);
    return true;
  }
  #ofDevice(kind: FindingKind, event: StartedDma, iova: bigint, places: FindingPlace[]): void {
    const { device, write, length, ok, pasid, starter: site } = event;
    const why = ok ? 'it reached what was mapped before' : this.#faults.get(device.id);
    const what = `${write ? 'WRITE' : 'READ'} of size ${length} by ${device.id}`;
    const withPasid = pasid === undefined ? '' : `, pasid ${pasid}`;
    this.#found(kind, {
      pid: this.#pid,
      about: `on iova ${hex(iova)}`,
      details: [`${what}${withPasid}${why === undefined ? '' : `: ${why}`}`],
      places: [...(site ? [{ title: 'started by a store here:', site }] : []), ...places],
    });
  }

  /** The last open copy of a file that maps is gone: what it leaves is counted. */
  #close(file: string, call: number): void {
    const open = (this.#opens.get(file) ?? 1) - 1;
    this.#opens.set(file, open);
    const objects = this.#left.inClose(call);
    const mappings = open <= 0 ? this.#mappings.close(file) : [];
    for (const { about, details, places } of leaks(mappings, objects)) {
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
function rightsText({ read, write }: MappingCall): string {
  return read && write ? 'for reading and writing' : read ? 'for reading' : 'for writing';
}
function mappedBy(call: MappingCall, before = ''): FindingPlace {
  const where = `${hex(call.iova)} +${hex(call.length)} ${rightsText(call)}`;
  return { title: `${before}mapped by ${call.command} (${where}) here:`, site: call.site };
}

/** Equal ones are one: by what they are and where they were made. */
function leaks(
  mappings: readonly MappingCall[],
  objects: ReturnType<LeftObjects['inClose']>,
): Pick<Finding, 'about' | 'details' | 'places'>[] {
  const bySite = new Map<unknown, MappingCall[]>();
  for (const call of mappings) {
    const key = call.site ?? call.command;
    bySite.set(key, [...(bySite.get(key) ?? []), call]);
  }
  const ofMappings = [...bySite.values()].map((calls) => {
    const bytes = calls.reduce((sum, { length }) => sum + length, 0n);
    const { command, site, iova } = calls[0]!;
    return {
      about: `of ${bytes} byte(s) in ${calls.length} mapping(s)`,
      details: [`the first is at iova ${hex(iova)}`],
      places: [{ title: `mapped by ${command} here:`, site }],
    };
  });
  const ofObjects = objects.map(({ name, site }) => ({
    about: `of ${name.kind} ${name.id}`,
    details: ['it was destroyed by the close of its iommufd'],
    places: [{ title: 'allocated here:', site }],
  }));
  return [...ofMappings, ...ofObjects];
}
