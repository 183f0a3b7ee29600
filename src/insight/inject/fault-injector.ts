/**
 * Carries out a plan of what is to go wrong: counts what each rule is for, and says when it is its turn. The same plan and
 * the same calls give the same faults.
 */
import { isCallOn } from '../call-names.ts';
import type { CallInfo } from '../../base/events.ts';
import type { FailPoint, FailPolicy } from '../../base/fail-points.ts';
import type { Task } from '../../base/task.ts';
import type { CallFault, CallFaultPolicy } from '../../machine/files/call-faults.ts';
import type {
  DeviceFaultPolicy,
  MessageFault,
  PlannedTransfer,
  TransferFault,
} from '../../machine/hardware/device-faults.ts';
import type { FaultPolicies } from '../../machine/machine.ts';
import { nameInSets } from './call-set.ts';
import type { CallRule, CountedBy, DeviceRule, FaultPlan, FaultRule, PointRule } from './rules.ts';
import { isDue } from './values.ts';

/** How often a rule was met, and how often it did something. */
export interface RuleCount {
  readonly rule: FaultRule;
  readonly met: number;
  readonly done: number;
}

/** The rules of one kind, with their counts. */
class Counted<R extends FaultRule> {
  readonly rule: R;
  met = 0;
  done = 0;
  readonly #by = new Map<number | string, number>();

  constructor(rule: R) {
    this.rule = rule;
  }
  /** One more, of these: is it its turn? */
  isDue(whose: number | string): boolean {
    const n = (this.#by.get(whose) ?? 0) + 1;
    this.#by.set(whose, n);
    this.met++;
    const due = isDue(this.rule.when, n);
    if (due) this.done++;
    return due;
  }
}

/** What goes wrong in one run. */
export class FaultInjector {
  readonly #calls: readonly Counted<CallRule>[];
  readonly #points: readonly Counted<PointRule>[];
  readonly #devices: readonly Counted<DeviceRule>[];
  readonly #signal: (task: Task, signal: number) => void;
  readonly #seed: number;
  #chances = 0;

  /** `signal`: send one to a thread; where no program is real, it goes nowhere. */
  constructor(
    { rules, seed }: FaultPlan,
    signal: (task: Task, signal: number) => void = () => undefined,
  ) {
    this.#calls = rules.filter((rule) => rule.kind === 'call').map((rule) => new Counted(rule));
    this.#points = rules.filter((rule) => rule.kind === 'point').map((rule) => new Counted(rule));
    this.#devices = rules.filter((rule) => rule.kind === 'device').map((rule) => new Counted(rule));
    this.#signal = signal;
    this.#seed = seed;
  }

  /** For the machine: only of kinds that have a rule, so that the others cost nothing. */
  get policies(): FaultPolicies {
    const calls: CallFaultPolicy = {
      faultOf: (call, task) => this.#ofCall(call, task),
      signal: this.#signal,
    };
    const points: FailPolicy = { fails: (point, task) => this.#ofPoint(point, task) };
    const devices: DeviceFaultPolicy = {
      faultOfTransfer: (transfer) => this.#ofTransfer(transfer),
      faultOfMessage: (device) => this.#ofMessage(device),
    };
    return {
      calls: this.#calls.length > 0 ? calls : undefined,
      points: this.#points.length > 0 ? points : undefined,
      devices: this.#devices.length > 0 ? devices : undefined,
    };
  }
  /** In the order of the kinds: calls, points, devices. */
  get counts(): readonly RuleCount[] {
    return [...this.#calls, ...this.#points, ...this.#devices];
  }

  /** Several rules that are due add up: delays and signals of all, the result of the first that has one. */
  #ofCall(call: CallInfo, task: Task): CallFault | undefined {
    const due = this.#calls
      .filter(({ rule }) => isMeant(rule, call))
      .filter((counted) => counted.isDue(owner(counted.rule.per, task)))
      .map(({ rule }) => rule);
    if (due.length === 0) return undefined;
    const decides = due.find(({ result }) => result !== undefined);
    return {
      delayEnterNs: due.reduce((sum, { delayEnterNs }) => sum + delayEnterNs, 0),
      delayExitNs: due.reduce((sum, { delayExitNs }) => sum + delayExitNs, 0),
      result: decides?.result,
      after: decides?.after ?? false,
      fields: decides?.field ? [decides.field] : [],
      signals: due.flatMap(({ signal }) => signal ?? []),
      by: due.map(({ text }) => text).join(' '),
    };
  }
  #ofPoint(point: FailPoint, task: Task | undefined): boolean {
    if (!task) return false;
    const due = this.#points
      .filter(({ rule }) => rule.point === undefined || rule.point === point)
      .filter((counted) => counted.isDue(owner(counted.rule.per, task)));
    return due.length > 0;
  }
  #ofTransfer(transfer: PlannedTransfer): TransferFault | undefined {
    const { device, write, length } = transfer;
    const meant = this.#devices.filter(({ rule }) => {
      if (rule.fault.startsWith('irq-') || !isOfDevice(rule, device)) return false;
      if (rule.fault === 'page-requests' && !transfer.mayAskForPages) return false;
      const onlyWrites =
        rule.fault === 'delay' || rule.fault === 'duplicate' || rule.fault === 'torn';
      return onlyWrites ? write : rule.write === undefined || rule.write === write;
    });
    const rule = meant.filter((counted) => counted.isDue(device))[0]?.rule;
    return rule && this.#transferFault(rule, length);
  }
  #transferFault({ fault, ns, at, count }: DeviceRule, length: number): TransferFault {
    switch (fault) {
      case 'corrupt':
        return { kind: fault, bit: this.#chance(length * 8) };
      case 'wild':
        return { kind: fault, at: at ?? BigInt(this.#chance(2 ** 32)) << 12n };
      case 'delay':
      case 'duplicate':
      case 'torn':
        return { kind: fault, ns };
      case 'page-requests':
        return { kind: fault, count };
      case 'unplug':
        return { kind: fault };
      default:
        return { kind: 'drop' };
    }
  }
  #ofMessage(device: string): MessageFault | undefined {
    const meant = this.#devices.filter(
      ({ rule }) => rule.fault.startsWith('irq-') && isOfDevice(rule, device),
    );
    const rule = meant.filter((counted) => counted.isDue(device))[0]?.rule;
    if (!rule) return undefined;
    const { fault, ns } = rule;
    if (fault === 'irq-drop') return { kind: 'drop' };
    return { kind: fault === 'irq-delay' ? 'delay' : 'duplicate', ns };
  }

  /** From 0 to below `below`, as the seed says: the same in every run. */
  #chance(below: number): number {
    let x = (this.#seed + ++this.#chances * 0x9e37_79b9) >>> 0;
    x = Math.imul(x ^ (x >>> 16), 0x85eb_ca6b);
    x = Math.imul(x ^ (x >>> 13), 0xc2b2_ae35);
    return ((x ^ (x >>> 16)) >>> 0) % Math.max(1, below);
  }
}

function isOfDevice(rule: DeviceRule, device: string): boolean {
  return rule.device === undefined || rule.device === device;
}
function owner(per: CountedBy, { tid, pid }: Task): number {
  if (per === 'run') return 0;
  return per === 'thread' ? tid : pid;
}

function isMeant(rule: CallRule, call: CallInfo): boolean {
  const { file = '', args = {} } = call;
  if (!rule.calls.has(nameInSets(call))) return false;
  if (rule.path !== undefined && file !== rule.path) return false;
  if (rule.device !== undefined && !isCallOn(call, rule.device)) return false;
  if (rule.ioas !== undefined && args['ioas_id'] !== rule.ioas) return false;
  return rule.object === undefined || hasId(args, rule.object);
}
/** Fields that name objects end so. */
function hasId(args: Readonly<Record<string, unknown>>, id: number): boolean {
  return Object.entries(args).some(([name, value]) => /(^|_)id$/.test(name) && value === id);
}
