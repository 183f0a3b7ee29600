/** Expressions of -e to rules: strace's syntax of `inject`, and what it has not: devices, and points in the kernel. */
import { FAULT_WORDS } from './fault-words.ts';
import { ENOSYS } from '../../base/errno.ts';
import { MOST_PAGE_REQUESTS } from '../../machine/hardware/device-faults.ts';
import { FAIL_POINTS, type FailPoint } from '../../base/fail-points.ts';
import { COMMAND_FIELDS } from '../../uapi/decode.ts';
import { maySleep, parseCallSet, type CallSet } from './call-set.ts';
import { choice, clausesOf, type Clause } from './clauses.ts';
import { Mistake } from '../mistake.ts';
import type {
  CallRule,
  CountedBy,
  DeviceFaultKind,
  DeviceRule,
  FaultPlan,
  FaultRule,
  PointRule,
} from './rules.ts';
import {
  ALWAYS,
  parseAddress64,
  parseErrno,
  parseNumber,
  parseSignal,
  parseTime,
  parseWhen,
} from './values.ts';

/** Parts of a rule that its options give, by the word of the option. A word without `=` has no value. */
type Options<R> = Readonly<Record<string, (clause: Clause) => Partial<R> | Mistake>>;

const BDF = /^(?:([\da-f]{4}):)?([\da-f]{2}:[\da-f]{2}\.[0-7])$/i;
const COUNTED: readonly CountedBy[] = ['thread', 'process', 'run'];

function isMistake(value: unknown): value is Mistake {
  return value instanceof Mistake;
}
/** An option that gives one part of a rule. */
function giving<K extends string, V>(
  key: K,
  parse: (clause: Clause) => V | Mistake,
): (clause: Clause) => Record<K, V> | Mistake {
  return (clause) => {
    const value = parse(clause);
    // cast: an object of one key
    return isMistake(value) ? value : ({ [key]: value } as Record<K, V>);
  };
}
/** An option that says all by being there. */
function bare<P>(parts: P): (clause: Clause) => P | Mistake {
  return ({ name, value, valueColumn }) =>
    value === undefined ? parts : new Mistake(valueColumn - 1, `'${name}' has no value`);
}
function parseDevice(clause: Clause): string | Mistake {
  const [, segment = '0000', rest] = BDF.exec(clause.value ?? '') ?? [];
  if (rest !== undefined) return `${segment}:${rest}`.toLowerCase();
  return new Mistake(
    clause.valueColumn,
    `'${clause.value ?? ''}' is no address of a device, such as 0000:01:00.0`,
  );
}
function parsePath(clause: Clause): string | Mistake {
  if (clause.value) return clause.value;
  return new Mistake(clause.valueColumn, 'a path is missing, such as /dev/iommu');
}
function parseCounted(clause: Clause): CountedBy | Mistake {
  const found = COUNTED.find((each) => each === clause.value);
  return found ?? new Mistake(clause.valueColumn, `calls are counted per ${choice(COUNTED)}`);
}
function parseDirection(clause: Clause): boolean | Mistake {
  if (clause.value === 'read' || clause.value === 'write') return clause.value === 'write';
  return new Mistake(clause.valueColumn, 'a transfer is a read or a write of memory');
}

/** 'size=0' */
function parseField(clause: Clause): readonly [string, bigint] | Mistake {
  const [, name = '', value] = /^(\w+)=(.*)$/.exec(clause.value ?? '') ?? [];
  if (value === undefined) {
    return new Mistake(clause.valueColumn, 'a field is NAME=VALUE, such as size=0');
  }
  const valueColumn = clause.valueColumn + name.length + 1;
  const number = parseAddress64({ ...clause, value, valueColumn });
  return isMistake(number) ? number : [name, number];
}

const CALL_OPTIONS: Options<CallRule> = {
  after: bare({ after: true }),
  delay_enter: giving('delayEnterNs', parseTime),
  delay_exit: giving('delayExitNs', parseTime),
  device: giving('device', parseDevice),
  error: giving('result', parseErrno),
  field: giving('field', parseField),
  ioas: giving('ioas', parseNumber),
  object: giving('object', parseNumber),
  path: giving('path', parsePath),
  per: giving('per', parseCounted),
  retval: giving('result', parseNumber),
  signal: giving('signal', parseSignal),
  when: giving('when', parseWhen),
};
const POINT_OPTIONS: Options<PointRule> = {
  per: giving('per', parseCounted),
  when: giving('when', parseWhen),
};
const LATER = 1e6;
const timed = (fault: DeviceFaultKind, isNeeded: boolean) => (clause: Clause) => {
  const ns = clause.value === undefined && !isNeeded ? LATER : parseTime(clause);
  return isMistake(ns) ? ns : { fault, ns };
};
const plain = (fault: DeviceFaultKind) => bare({ fault });
/** A rule has one of them. */
const DEVICE_FAULTS: Options<DeviceRule> = {
  corrupt: plain('corrupt'),
  delay: timed('delay', true),
  drop: plain('drop'),
  duplicate: timed('duplicate', false),
  'irq-delay': timed('irq-delay', true),
  'irq-drop': plain('irq-drop'),
  'irq-duplicate': timed('irq-duplicate', false),
  'page-requests': (clause) => {
    const count = clause.value === undefined ? MOST_PAGE_REQUESTS : parseNumber(clause);
    if (isMistake(count)) return count;
    if (count >= 1 && count <= MOST_PAGE_REQUESTS) return { fault: 'page-requests', count };
    return new Mistake(
      clause.valueColumn,
      `pages that are asked for are 1 to ${MOST_PAGE_REQUESTS}`,
    );
  },
  torn: timed('torn', false),
  unplug: plain('unplug'),
  wild: (clause) => {
    const at = clause.value === undefined ? undefined : parseAddress64(clause);
    return isMistake(at) ? at : { fault: 'wild', at };
  },
};
const DEVICE_OPTIONS: Options<DeviceRule> = {
  ...DEVICE_FAULTS,
  dma: giving('write', parseDirection),
  when: giving('when', parseWhen),
};

/** What the options of a rule give, and where each stands. */
interface Gathered<R> {
  readonly parts: Partial<R>;
  readonly columns: ReadonlyMap<string, number>;
}
function gather<R>(clauses: readonly Clause[], options: Options<R>): Gathered<R> | Mistake {
  const columns = new Map<string, number>();
  let parts: Partial<R> = {};
  for (const clause of clauses) {
    const { name, column } = clause;
    const option = Object.hasOwn(options, name) ? options[name] : undefined;
    if (!option) {
      return new Mistake(
        column,
        `'${name}' is no option; there are ${choice(Object.keys(options))}`,
      );
    }
    if (columns.has(name)) return new Mistake(column, `'${name}' is there twice`);
    columns.set(name, column);
    const given = option(clause);
    if (isMistake(given)) return given;
    parts = { ...parts, ...given };
  }
  return { parts, columns };
}

function parseCalls(text: string, [head, ...rest]: readonly Clause[]): CallRule | Mistake {
  const { value = '', valueColumn, name } = head!;
  const calls = parseCallSet(value, valueColumn);
  if (isMistake(calls)) return calls;
  const gathered = gather(rest, CALL_OPTIONS);
  if (isMistake(gathered)) return gathered;
  const { parts, columns } = gathered;
  const rule: CallRule = {
    ...{ kind: 'call', text, calls, when: ALWAYS, per: 'thread', after: false },
    ...{ delayEnterNs: 0, delayExitNs: 0 },
    ...{ field: undefined, signal: undefined, path: undefined, device: undefined },
    ...{ object: undefined, ioas: undefined },
    result: undefined,
    ...(name === 'fault' && { result: ENOSYS }),
    ...parts,
  };
  return lawful(rule, columns, text.length + 1) ?? rule;
}
/** Of a rule for calls: what goes together. */
function lawful(
  rule: CallRule,
  columns: ReadonlyMap<string, number>,
  end: number,
): Mistake | undefined {
  const { calls, result, delayEnterNs, delayExitNs, signal } = rule;
  const at = (...names: readonly string[]): number =>
    Math.max(...names.map((name) => columns.get(name) ?? 0));
  if (columns.has('error') && columns.has('retval')) {
    return new Mistake(at('error', 'retval'), 'error and retval exclude each other');
  }
  if (columns.has('after') && result === undefined) {
    return new Mistake(at('after'), "'after' is for a call with error or retval");
  }
  if (result === undefined && signal === undefined && delayEnterNs + delayExitNs === 0) {
    return new Mistake(
      end,
      'nothing is asked for: error, retval, signal, delay_enter or delay_exit',
    );
  }
  const field = fieldMistake(rule, at('field'));
  if (field) return field;
  const awake = firstThatNeverSleeps(calls);
  const needs = ['retval', 'after', 'delay_enter', 'delay_exit'].find((name) => columns.has(name));
  if (awake === undefined || needs === undefined) return undefined;
  return new Mistake(
    at(needs),
    `'${needs}' is for ioctl, read and write; ${awake} can have an error or a signal`,
  );
}
function fieldMistake({ calls, field, result }: CallRule, column: number): Mistake | undefined {
  if (!field) return undefined;
  const without = fieldMissing(calls, field[0]);
  if (without !== undefined) return new Mistake(column, without);
  if (result !== undefined) return undefined;
  return new Mistake(column, "'field' is for a call with error or retval");
}
function fieldMissing(calls: CallSet, field: string): string | undefined {
  const bad = [...calls].find((name) => !COMMAND_FIELDS.get(name)?.includes(field));
  if (bad === undefined) return undefined;
  const fields = COMMAND_FIELDS.get(bad) ?? [];
  const has = fields.length > 0 ? `its fields are ${choice(fields)}` : 'it has no struct';
  return `${bad} has no field '${field}': ${has}`;
}
function firstThatNeverSleeps(calls: CallSet): string | undefined {
  return [...calls].find((name) => !maySleep(name));
}

function parsePoint(text: string, [head, ...rest]: readonly Clause[]): PointRule | Mistake {
  const { value = '', valueColumn } = head!;
  const names = Object.keys(FAIL_POINTS);
  if (value !== 'any' && !names.includes(value)) {
    return new Mistake(
      valueColumn,
      `'${value}' is no point of failure; there are ${choice([...names, 'any'])}`,
    );
  }
  const gathered = gather(rest, POINT_OPTIONS);
  if (isMistake(gathered)) return gathered;
  // cast: it is one of the names
  const point = value === 'any' ? undefined : (value as FailPoint);
  return { kind: 'point', text, point, when: ALWAYS, per: 'thread', ...gathered.parts };
}

function parseDeviceRule(text: string, [head, ...rest]: readonly Clause[]): DeviceRule | Mistake {
  const device = head!.value === 'any' ? undefined : parseDevice(head!);
  if (isMistake(device)) return device;
  const gathered = gather(rest, DEVICE_OPTIONS);
  if (isMistake(gathered)) return gathered;
  const { parts, columns } = gathered;
  const kinds = [...columns.keys()].filter((name) => Object.hasOwn(DEVICE_FAULTS, name));
  if (kinds.length !== 1 || parts.fault === undefined) {
    const column = kinds.length > 1 ? columns.get(kinds[1]!)! : text.length + 1;
    return new Mistake(column, `a rule has one of ${choice(Object.keys(DEVICE_FAULTS))}`);
  }
  const { fault } = parts;
  if (fault.startsWith('irq-') && columns.has('dma')) {
    return new Mistake(columns.get('dma')!, 'an interrupt is no transfer');
  }
  if (['delay', 'duplicate', 'torn'].includes(fault) && parts.write === false) {
    return new Mistake(
      columns.get('dma')!,
      `'${fault}' is for writes: a device waits for what it reads`,
    );
  }
  const rule = { kind: 'device', text, device, at: undefined, write: undefined } as const;
  return { ...rule, when: ALWAYS, ns: 0, count: 0, ...parts, fault };
}

const KINDS: Readonly<
  Record<
    Exclude<(typeof FAULT_WORDS)[number], 'seed'>,
    (text: string, clauses: readonly Clause[]) => FaultRule | Mistake
  >
> = {
  device: parseDeviceRule,
  fail: parsePoint,
  fault: parseCalls,
  inject: parseCalls,
};
function parserOf(word: string): (typeof KINDS)[keyof typeof KINDS] | undefined {
  // cast: one of its keys
  return Object.hasOwn(KINDS, word) ? KINDS[word as keyof typeof KINDS] : undefined;
}

/** The plan that these expressions make together, or the first mistake as one line. */
export function parseFaultPlan(
  expressions: readonly string[],
): FaultPlan | { readonly problem: string } {
  const rules: FaultRule[] = [];
  let seed = 1;
  for (const text of expressions) {
    const clauses = clausesOf(text);
    const { name } = clauses[0]!;
    if (name === 'seed') {
      const given = parseNumber(clauses[0]!);
      if (isMistake(given)) return { problem: given.of(text) };
      seed = given;
      continue;
    }
    const rule =
      parserOf(name)?.(text, clauses) ??
      new Mistake(1, `'${name}' is nothing that can go wrong; there are ${choice(FAULT_WORDS)}`);
    if (isMistake(rule)) return { problem: rule.of(text) };
    rules.push(rule);
  }
  return { rules, seed };
}
