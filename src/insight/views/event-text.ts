/** One event as one line for people, after strace. */
import { isErrno, type Errno } from '../../base/errno.ts';
import type { Facts, Refusal } from '../../base/refuse.ts';
import type {
  CallInfo,
  DmaEvent,
  FaultEvent,
  LeaveEvent,
  MapEvent,
  Stamped,
  TraceEvent,
} from '../../base/events.ts';
import { hex } from '../../base/u64.ts';

type Formatter<E> = (event: E) => string;
type Formatters = { [K in TraceEvent['kind']]: Formatter<Extract<TraceEvent, { kind: K }>> };

const FORMATTERS: Formatters = {
  enter: (e) => `${call(e)} <unfinished ...>`,
  leave,
  map,
  unmap: map,
  dma,
  fault,
  driver: (e) =>
    `    ${e.driver}: ${e.op}(${[e.domain?.id, e.device?.id, pasidText(e.pasid), e.old && `old ${e.old.id}`].filter(Boolean).join(', ')})` +
    (e.result ? ` = ${e.result.name}` : ''),
  invalidate: (e) => `    ${e.unit}: invalidate ${e.cache} ${facts(e.facts)}`.trimEnd(),
  interrupt: (e) =>
    `  ⇡ ${e.device.id}: ${e.index} ${e.vector} ${e.delivered ? 'signalled' : 'pending, nobody listens'}`,
  mmio: (e) => {
    const register = e.register === undefined ? '' : ` ${e.register}`;
    return `  · ${e.device.id} BAR ${e.region} ${e.write ? 'write' : 'read '} +${hex(e.offset)}${register} ${e.width * 8} bit ${e.write ? '←' : '→'} ${hex(e.value)}`;
  },
  warn: (e) => `  ! WARNING ${e.id}: ${e.text}`,
  log: (e) => `  # ${e.text}`,
  life: (e) => `  - ${e.what} ${e.who.id}${e.detail ? ` (${e.detail})` : ''}`,
  'object-born': (e) => `  + ${e.object.kind} ${e.object.id}`,
  'object-gone': (e) => `  - ${e.object.kind} ${e.object.id}`,
};

/** One line for a person. */
export function formatEvent({ event }: Stamped): string {
  return eventText(event);
}
/** The same without its place in the stream. */
export function eventText(event: TraceEvent): string {
  // cast: the row of a kind takes the events of that kind
  return (FORMATTERS[event.kind] as Formatter<TraceEvent>)(event);
}

function call(e: CallInfo): string {
  const parts = [e.file, e.command, e.args && structText(e.args)].filter(Boolean).join(', ');
  return `${e.pid === undefined ? '' : `[${e.pid}] `}${e.name}(${parts})`;
}

function leave(e: LeaveEvent): string {
  const reason =
    e.refusals.length > 0 && isErrno(e.result) ? `  ✗ ${refusalText(e.refusals.at(-1)!)}` : '';
  return `${answeredText(e)}${reason}`;
}
/** A call and what came of it, without the reason. */
export function answeredText(e: LeaveEvent): string {
  const changed = e.after && e.args ? changes(e.args, e.after) : undefined;
  const marks = `${e.injected ? ' (INJECTED)' : ''}${e.delayed ? ' (DELAYED)' : ''}`;
  return `${call(e)} = ${resultText(e.result)}${marks}${changed ? `  → ${changed}` : ''}`;
}

function resultText(result: number | Errno | undefined): string {
  if (result === undefined) return 'ok';
  return isErrno(result) ? `-1 ${result.name}` : String(result);
}

/** The rule that was broken, with the values it was broken by. */
export function refusalText(refusal: Refusal): string {
  const values = facts(refusal.facts);
  return values ? `${refusal.rule} (${values})` : refusal.rule;
}

function facts(all: Facts): string {
  return Object.entries(all)
    .map(([name, value]) => `${name}=${valueText(value)}`)
    .join(', ');
}

function structText(fields: object): string {
  const shown = Object.entries(fields).filter(([name], place) => !isNoise(name, place));
  return `{${shown.map(([name, value]) => `${name}=${valueText(value)}`).join(', ')}}`;
}

/** The size of the struct itself and padding say nothing to a reader. */
function isNoise(name: string, place: number): boolean {
  if (place === 0 && (name === 'size' || name === 'argsz')) return true;
  return name.startsWith('__') || name === 'pad';
}

function changes(
  before: Readonly<Record<string, unknown>>,
  after: Readonly<Record<string, unknown>>,
): string {
  return Object.entries(after)
    .filter(
      ([name, value], place) =>
        !isNoise(name, place) && valueText(value) !== valueText(before[name]),
    )
    .map(([name, value]) => `${name}=${valueText(value)}`)
    .join(', ');
}

function valueText(value: unknown): string {
  if (typeof value === 'bigint') return hex(value);
  if (typeof value === 'number') return value >= 4096 ? hex(value) : String(value);
  if (typeof value === 'string') return value;
  if (value instanceof Uint8Array) return `${value.length} bytes`;
  if (Array.isArray(value)) return `[${value.map(valueText).join(', ')}]`;
  return typeof value === 'object' && value !== null ? structText(value) : String(value);
}

function map(e: MapEvent): string {
  const target = e.pa === undefined ? '' : ` → ${hex(e.pa)}`;
  return `    ${e.domain.id}: ${e.kind} ${hex(e.iova)} +${hex(e.length)}${target}`;
}

function dma(e: DmaEvent): string {
  const places = (e.list ?? [{ at: e.iova, length: e.length }])
    .map(({ at, length }) => `${hex(at)} +${hex(length)}`)
    .join(', ');
  const where = `${e.write ? 'write' : 'read'} ${places}`;
  return `  ⇄ ${e.device.id}: DMA ${where}${pasidText(e.pasid, ' ')}${e.ok ? '' : '  BLOCKED'}`;
}

function fault(e: FaultEvent): string {
  const where = `${e.write ? 'write' : 'read'} ${hex(e.iova)}${pasidText(e.pasid, ' ')}`;
  return `  ✗ ${e.unit}: ${e.device.id} ${where}: fault ${hex(e.code)}, ${e.reason}`;
}

function pasidText(pasid: number | undefined, before = ''): string {
  return pasid === undefined ? '' : `${before}pasid ${pasid}`;
}
