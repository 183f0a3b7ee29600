/**
 * What did not work in a run, each kind of it once: the memory behind `run --explain`.
 *
 * It hears of troubles only (Trace.listenToTroubles), which are rare; what it keeps is bounded, whatever a program does.
 */
import { isErrno } from '../../base/errno.ts';
import type { LeaveEvent, Stamped } from '../../base/events.ts';
import type { Refusal } from '../../base/refuse.ts';
import type { Machine } from '../../machine/machine.ts';
import type { CallSites } from '../sites/call-site.ts';
import { NOTES, type NoteSources } from './notes.ts';
import type { MappingOrigins } from './origins.ts';
import { usersOf } from './pulled-out.ts';
import { Switches } from './switches.ts';
import {
  decisiveRefusal,
  isFailedCall,
  type FailedCall,
  type IdleCall,
  type Trouble,
  type TroubleEvent,
} from './trouble.ts';

/** By this rule DMA is stopped where the unit says itself that it blocks an access, with its reason. */
export const TOLD_BY_FAULT = 'the IOMMU blocked the access';
/** Kinds that are told apart; a program that fails in more ways is not explained any better by the rest. */
const MAX_KINDS = 256;

/** Remembers what did not work, as a listener to troubles. */
export class TroubleJournal {
  readonly #around: NoteSources | undefined;
  readonly #sites: CallSites | undefined;
  readonly #kinds = new Map<string, Trouble>();
  /** By the thread that waits: the kind that says so. */
  readonly #asleep = new Map<number, string>();
  #more = 0;

  /**
   * `machine`: whose state explains what went wrong; a trace that is read later has none. `sites`: where calls come from.
   * `origins`: where mappings come from, in a run that keeps that.
   */
  constructor(machine?: Machine, sites?: CallSites, origins?: MappingOrigins) {
    this.#around = machine && { machine, switches: new Switches(machine, sites), origins };
    this.#sites = sites;
  }

  readonly take = ({ event, seq }: Stamped): void => {
    if (event.kind === 'leave') this.#answered(event);
    if (!isTroubleEvent(event) || this.#isNobodys(event)) return;
    const key = keyOf(event);
    if (event.kind === 'sleep') this.#asleep.set(threadOf(event), key);
    const known = this.#kinds.get(key);
    if (known) {
      known.count++;
      known.last = seq;
    } else if (this.#kinds.size === MAX_KINDS) this.#more++;
    else this.#kinds.set(key, { ...this.#first(event), count: 1, first: seq, last: seq });
  };
  /** A device that nobody has open may go: that is no trouble. Without the machine nobody can tell. */
  #isNobodys(event: TroubleEvent): boolean {
    if (event.kind !== 'life' || !this.#around) return false;
    return usersOf(this.#around.machine, event.who.id).length === 0;
  }
  /** Whoever leaves a call waits no more. */
  #answered(event: LeaveEvent): void {
    if (this.#asleep.size === 0) return;
    const thread = threadOf(event);
    const key = this.#asleep.get(thread);
    if (key === undefined || this.#around?.machine.syscalls.isWaiting(thread)) return;
    this.#asleep.delete(thread);
    this.#kinds.delete(key);
  }
  #first(event: TroubleEvent): Pick<Trouble, 'event' | 'notes' | 'site'> {
    const site = this.#sites?.here();
    return { event, notes: this.#notesOf(event), ...(site && { site }) };
  }

  /** In the order they happened first. A call that waited for somebody and was answered is none. */
  get troubles(): readonly Trouble[] {
    return [...this.#kinds.values()].filter(({ event }) => !this.#isOver(event));
  }
  #isOver(event: TroubleEvent): boolean {
    // Of a call that succeeded, listeners to troubles do not hear: the machine knows.
    return (
      event.kind === 'sleep' && this.#around?.machine.syscalls.isWaiting(threadOf(event)) === false
    );
  }
  /** The ways the program has set up to DMA: 'type1v2'. */
  get backends(): readonly string[] {
    return [...(this.#around?.machine.env.backends ?? [])];
  }
  /** How often something went wrong in yet another way than can be remembered. */
  get more(): number {
    return this.#more;
  }

  #notesOf(event: TroubleEvent): string[] {
    const around = this.#around;
    return around ? NOTES.flatMap((note) => note(event, around) ?? []) : [];
  }
}

/** Does it tell of something that did not work? Of a transfer that the unit itself says it stopped, the fault does. */
export function isTroubleEvent(event: Stamped['event']): event is TroubleEvent {
  switch (event.kind) {
    case 'leave':
      return isErrno(event.result) || event.remarks !== undefined;
    case 'signal':
      return event.why !== undefined;
    case 'dma':
      return event.refusal !== undefined && !isToldByFault(event.refusal);
    case 'life':
      return event.what === 'device-unplug';
    default:
      return event.kind === 'fault' || event.kind === 'warn' || event.kind === 'sleep';
  }
}
function isToldByFault({ rule }: Refusal): boolean {
  return rule === TOLD_BY_FAULT;
}

function threadOf({ pid = 0, tid = pid }: Pick<LeaveEvent, 'pid' | 'tid'>): number {
  return tid;
}
function keyOf(event: TroubleEvent): string {
  switch (event.kind) {
    case 'leave':
      return keyOfCall(event);
    case 'sleep': {
      const { pid, tid, name, file, why } = event;
      return ['sleep', pid, tid, name, file, why.rule].join('\t');
    }
    case 'signal':
      return ['signal', event.pid, event.signal, event.file, event.why?.rule].join('\t');
    case 'dma':
      return ['dma', event.device.id, event.write, event.refusal?.rule].join('\t');
    case 'fault':
      return ['fault', event.unit, event.device.id, event.pasid, event.write, event.code].join(
        '\t',
      );
    case 'warn':
      return ['warn', event.id].join('\t');
    case 'life':
      return ['life', event.what, event.who.id].join('\t');
  }
}
function keyOfCall(event: FailedCall | IdleCall): string {
  const { name, file, command } = event;
  const [errno, rule] = isFailedCall(event)
    ? [event.result.name, decisiveRefusal(event)?.rule]
    : ['', event.remarks[0]?.rule];
  return ['call', name, file, command, errno, rule].join('\t');
}
