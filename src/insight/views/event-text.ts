/** One event as one line for people: calls after strace (call-text.ts), what they make happen indented. */
import type {
  DmaEvent,
  FaultEvent,
  MapEvent,
  OfKind,
  SignalEvent,
  Stamped,
  TraceEvent,
} from '../../base/events.ts';
import { hex } from '../../base/u64.ts';
import { onOneLine } from '../../machine/description/wording.ts';
import { callText, leaveText, pidText } from './call-text.ts';
import { PLAIN_STYLE, type TextStyle } from '../trace/text-style.ts';
import { factsText, refusalText } from './value-text.ts';

type Formatter<E> = (event: E, style: TextStyle) => string;
type Formatters = { [K in TraceEvent['kind']]: Formatter<OfKind<TraceEvent, K>> };

const FORMATTERS: Formatters = {
  enter: (e, style) => `${callText(e, style)} <unfinished ...>`,
  leave: leaveText,
  sleep: (e, style) => `${callText(e, style)} sleeps: ${refusalText(e.why)}`,
  signal: (e, style) => `${signalText(e, style)}${e.why ? `  ✗ ${refusalText(e.why)}` : ''}`,
  exit: ({ pid, status, signal }, style) =>
    `${pidText(pid, style)}+++ ${signal === undefined ? `exited with ${status}` : `killed by ${signal}`} +++`,
  map,
  unmap: map,
  dma,
  fault,
  driver: (e) =>
    `    ${e.driver}: ${e.op}(${[e.domain?.id, e.device?.id, pasidText(e.pasid), e.old && `old ${e.old.id}`].filter(Boolean).join(', ')})` +
    (e.result ? ` = ${e.result.name}` : ''),
  'pages-lost': (e) =>
    `  - ${e.by} takes pinned memory: ${e.ranges.map(({ pa, length }) => `${hex(pa)} +${hex(length)}`).join(', ')}`,
  invalidate: (e) => `    ${e.unit}: invalidate ${e.cache} ${factsText(e.facts)}`.trimEnd(),
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
export function formatEvent({ event }: Stamped, style?: TextStyle): string {
  return eventText(event, style);
}
/** The same without its place in the stream. */
export function eventText(event: TraceEvent, style: TextStyle = PLAIN_STYLE): string {
  // cast: the row of a kind takes the events of that kind
  return onOneLine((FORMATTERS[event.kind] as Formatter<TraceEvent>)(event, style));
}

function map(e: MapEvent): string {
  const target = e.pa === undefined ? '' : ` → ${hex(e.pa)}`;
  return `    ${e.domain.id}: ${e.kind} ${hex(e.iova)} +${hex(e.length)}${target}`;
}

/** `--- SIGBUS {si_signo=SIGBUS, si_code=BUS_ADRERR, si_addr=0x7f…} ---`, without why. */
export function signalText(
  { pid, tid = pid, signal, code, address }: SignalEvent,
  style?: TextStyle,
): string {
  const parts = [
    `si_signo=${signal}`,
    ...(code === undefined ? [] : [`si_code=${code}`]),
    ...(address === undefined ? [] : [`si_addr=${hex(address)}`]),
  ];
  return `${pidText(tid, style)}--- ${signal} {${parts.join(', ')}} ---`;
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
