/**
 * What a trace tells, put together for a reader: calls with their ends, mappings with their lives, the way of each DMA to the
 * mapping it went through, and what went wrong. It grows event by event, so that it can be read while a program runs.
 */
import type {
  DmaEvent,
  EnterEvent,
  FaultEvent,
  LeaveEvent,
  Stamped,
  TraceEvent,
} from '../../base/events.ts';
import { isErrno } from '../../base/errno.ts';
import type { Ref } from '../../base/refs.ts';
import { TroubleJournal } from '../explain/journal.ts';
import { AddressStory, type MappingStory } from './address-story.ts';

/** A call or turn from its begin to its end. */
export interface CallStory {
  readonly enter: Stamped & { readonly event: EnterEvent };
  /** Undefined: it was never answered. */
  leave: (Stamped & { readonly event: LeaveEvent }) | undefined;
  /** `seq` of what happened inside. */
  readonly inside: number[];
}
/** A domain with what was mapped in it. */
export interface DomainStory {
  readonly name: string;
  readonly addresses: AddressStory;
  /** Devices that were attached to it at any time, and for a PASID '0000:00:04.0 pasid 3'. */
  readonly devices: Set<string>;
}
/** What a transfer of a device met. */
export interface DmaStory {
  readonly seq: number;
  readonly domain: DomainStory | undefined;
  /** Its first byte, or the one that was refused. */
  readonly iova: bigint;
  /** The mapping of its first byte; undefined: there was none, or no IOMMU in the way. */
  readonly mapping: MappingStory | undefined;
  /** `seq` of the fault that stopped it. */
  fault: number | undefined;
}

/** The story of one machine. */
export class Story {
  readonly events: Stamped[] = [];
  /** By the `seq` that events inside carry. */
  readonly calls = new Map<number, CallStory>();
  readonly domains = new Map<string, DomainStory>();
  readonly dmas = new Map<number, DmaStory>();
  readonly troubles = new TroubleJournal();
  /** How translations went, by the event they belong to. */
  readonly walks = new Map<number, readonly string[]>();
  readonly #places = new Map<number, number>();
  /** The domain of a device, or of its PASID, by keyOfUser(). */
  readonly #attached = new Map<string, DomainStory>();
  /** The transfer that each fault stopped. */
  readonly #stopped = new Map<number, number>();
  /** The newest fault of a device whose transfer is still to be told of. */
  readonly #faulted = new Map<string, number>();

  /** The next event of the trace. */
  readonly take = (stamped: Stamped): void => {
    this.#places.set(stamped.seq, this.events.length);
    this.events.push(stamped);
    this.troubles.take(stamped);
    this.#tell(stamped);
  };

  /** By its number; undefined: the trace does not have it. */
  event(seq: number): Stamped | undefined {
    const place = this.#places.get(seq);
    return place === undefined ? undefined : this.events[place];
  }
  /** The events that led to one, the nearest first. */
  causesOf(stamped: Stamped): Stamped[] {
    const causes: Stamped[] = [];
    const seen = new Set([stamped.seq]);
    for (let at: Stamped | undefined = stamped; at?.cause !== undefined && !seen.has(at.cause);) {
      seen.add(at.cause);
      at = this.event(at.cause);
      if (at) causes.push(at);
    }
    return causes;
  }
  /** The transfer that a fault stopped; undefined: none is told of. */
  stoppedBy(fault: number): DmaStory | undefined {
    const dma = this.#stopped.get(fault);
    return dma === undefined ? undefined : this.dmas.get(dma);
  }
  /** The domain a device, or a PASID of it, is attached to by now. */
  domainOf(device: string, pasid?: number): DomainStory | undefined {
    return this.#attached.get(keyOfUser(device, pasid));
  }

  #tell(stamped: Stamped): void {
    const { event, seq, call } = stamped;
    if (call !== undefined && call !== seq) this.calls.get(call)?.inside.push(seq);
    switch (event.kind) {
      case 'enter':
        this.calls.set(seq, { enter: { ...stamped, event }, leave: undefined, inside: [] });
        break;
      case 'leave':
        this.#leave({ ...stamped, event });
        break;
      case 'map':
      case 'unmap':
        this.#mapped(seq, event);
        break;
      case 'driver':
        this.#driver(event);
        break;
      case 'fault':
        this.#fault(seq, event);
        break;
      case 'dma':
        this.#dma(seq, event);
        break;
      default:
    }
  }
  #leave(leave: Stamped & { readonly event: LeaveEvent }): void {
    const story = leave.call === undefined ? undefined : this.calls.get(leave.call);
    if (story) story.leave = leave;
  }
  #mapped(seq: number, event: Extract<TraceEvent, { kind: 'map' | 'unmap' }>): void {
    const { iova, length, pa, prot } = event;
    if (length === 0n) return;
    const { addresses } = this.#domain(event.domain);
    const last = iova + length - 1n;
    if (event.kind === 'map') addresses.map(seq, { iova, last, pa, prot });
    else addresses.unmap(seq, iova, last);
  }
  #driver(event: Extract<TraceEvent, { kind: 'driver' }>): void {
    const { device, domain, op, pasid, result } = event;
    if (!device || !domain || isErrno(result)) return;
    if (op !== 'attach_dev' && op !== 'set_dev_pasid') return;
    const key = keyOfUser(device.id, pasid);
    const story = this.#domain(domain);
    story.devices.add(key);
    this.#attached.set(key, story);
  }
  #fault(seq: number, { device }: FaultEvent): void {
    this.#faulted.set(device.id, seq);
  }
  #dma(seq: number, { device, iova, ok, pasid }: DmaEvent): void {
    const domain = this.domainOf(device.id, pasid);
    const mapping = domain?.addresses.find(iova);
    const fault = ok ? undefined : this.#faulted.get(device.id);
    this.#faulted.delete(device.id);
    if (fault !== undefined) this.#stopped.set(fault, seq);
    const refused = fault === undefined ? undefined : this.event(fault)?.event;
    const missed = refused?.kind === 'fault' ? refused.iova : iova;
    this.dmas.set(seq, { seq, domain, iova: missed, mapping, fault });
    mapping?.dmas.push(seq);
  }
  #domain(ref: Ref): DomainStory {
    const key = `${ref.id} ${ref.born ?? ''}`;
    let story = this.domains.get(key);
    if (!story) {
      story = { name: ref.id, addresses: new AddressStory(), devices: new Set() };
      this.domains.set(key, story);
    }
    return story;
  }
}

function keyOfUser(device: string, pasid: number | undefined): string {
  return pasid === undefined ? device : `${device} pasid ${pasid}`;
}
