/**
 * Every line of a trace as data to check and to read: the one source of the reader and of schema/trace.schema.json.
 * Whoever adds to base/events.ts adds here, which the types at the end insist on.
 */
import * as z from 'zod';
import { ERRNO, type Errno, type ErrnoName } from '../../base/errno.ts';
import type { OfKind, Stamped, TraceEvent } from '../../base/events.ts';
import { bytesOfHex, hex } from '../../base/u64.ts';
import { TRACE_VERSION } from './format.ts';

const HEX = /^-?0x[0-9a-f]+$/;
function bigintOf(text: string): bigint {
  return text.startsWith('-') ? -BigInt(text.slice(1)) : BigInt(text);
}

const count = z.int().nonnegative();
const seq = count.describe('number of an event');
const bytes = count.describe('bytes');
const u64 = z
  .codec(z.string().regex(HEX), z.bigint(), { decode: bigintOf, encode: hex })
  .describe('64 bits in hex');
// cast: the keys of the table
const ERRNO_NAMES = Object.keys(ERRNO) as ErrnoName[];
const errno = z
  .codec(z.enum(ERRNO_NAMES), z.custom<Errno>(), {
    decode: (name) => ERRNO[name],
    encode: ({ name }) => name,
  })
  .describe('name of an errno');
const ref = z
  .strictObject({
    kind: z
      .string()
      .describe("'device', 'domain', 'iommufd', 'process'; in capitals an object of an iommufd"),
    id: z.string().describe('unique among the living of its kind'),
    born: seq.exactOptional(),
  })
  .transform(({ kind, id, born }) => ({ kind, id, born }))
  .describe('an object, and the event in which it came to be');

/** What JSON has no values for comes back: '0x…' as a u64, {"bytes":"00ff"} as bytes. */
function revived(value: z.core.util.JSONType): unknown {
  if (typeof value === 'string') return HEX.test(value) ? bigintOf(value) : value;
  if (Array.isArray(value)) return value.map(revived);
  if (typeof value !== 'object' || value === null) return value;
  const { bytes: digits } = value;
  if (typeof digits === 'string' && Object.keys(value).length === 1) return bytesOfHex(digits);
  return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, revived(each)]));
}
const values = z
  .record(z.string(), z.json())
  .transform((all): Readonly<Record<string, unknown>> =>
    Object.fromEntries(Object.entries(all).map(([key, each]) => [key, revived(each)])),
  );
const fact = z
  .union([z.string(), z.number(), z.boolean()])
  .transform((value) => (typeof value === 'string' && HEX.test(value) ? bigintOf(value) : value));
const refusal = z
  .strictObject({ errno, rule: z.string(), facts: z.record(z.string(), fact) })
  .describe('a rule that was broken, and the values that broke it');

const remark = z
  .strictObject({ rule: z.string(), facts: z.record(z.string(), fact) })
  .describe('why nothing comes of it, and the values that make it so');
const callInfo = {
  what: z.enum(['syscall', 'access', 'turn']),
  pid: count.exactOptional(),
  tid: count.exactOptional(),
  name: z.string().describe("'ioctl', 'openat', 'load', 'timer'"),
  fd: z.int().exactOptional(),
  file: z.string().exactOptional(),
  device: z.string().exactOptional(),
  command: z.string().exactOptional(),
  args: values.exactOptional(),
};
const mapping = {
  domain: ref,
  iova: u64,
  pa: u64.exactOptional(),
  length: u64,
  asked: u64.exactOptional(),
  prot: count.exactOptional(),
};
const piece = z.strictObject({ iova: u64, pa: u64, length: bytes });
const life = [
  'device-bind',
  'device-unbind',
  'device-open',
  'device-close',
  'device-reset',
  'device-plug',
  'device-unplug',
  'group-add',
  'group-remove',
] as const;

const EVENTS = {
  enter: z.strictObject({ kind: z.literal('enter'), ...callInfo }),
  leave: z.strictObject({
    kind: z.literal('leave'),
    ...callInfo,
    after: values.exactOptional(),
    result: z.union([z.int(), errno]).exactOptional(),
    injected: z.literal(true).exactOptional(),
    delayed: z.literal(true).exactOptional(),
    refusals: z.array(refusal).describe('innermost first'),
    remarks: z.array(remark).exactOptional().describe('what it did not do although it succeeded'),
    pinned: z
      .int()
      .exactOptional()
      .describe('pages of programs that are pinned for devices now, where that has changed'),
  }),
  sleep: z
    .strictObject({ kind: z.literal('sleep'), ...callInfo, why: remark })
    .describe('a call that waits for somebody'),
  signal: z.strictObject({
    kind: z.literal('signal'),
    pid: count,
    tid: count.exactOptional(),
    signal: z.string().describe("'SIGBUS'"),
    code: z
      .union([z.string(), z.int()])
      .exactOptional()
      .describe('si_code, by name where it has one'),
    address: u64.exactOptional(),
    file: z.string().exactOptional(),
    device: z.string().exactOptional(),
    why: remark.exactOptional(),
  }),
  exit: z.strictObject({
    kind: z.literal('exit'),
    pid: count,
    status: count.exactOptional(),
    signal: z.string().exactOptional(),
  }),
  driver: z
    .strictObject({
      kind: z.literal('driver'),
      op: z.string(),
      driver: z.string(),
      device: ref.exactOptional(),
      domain: ref.exactOptional(),
      old: ref.exactOptional(),
      pasid: count.exactOptional(),
      result: errno.exactOptional(),
    })
    .transform(({ result, ...rest }) => ({ ...rest, result })),
  map: z.strictObject({ kind: z.literal('map'), ...mapping }),
  unmap: z.strictObject({ kind: z.literal('unmap'), ...mapping }),
  dma: z.strictObject({
    kind: z.literal('dma'),
    device: ref,
    pasid: count.exactOptional(),
    write: z.boolean(),
    iova: u64,
    length: bytes,
    list: z.array(z.strictObject({ at: u64, length: bytes })).exactOptional(),
    pieces: z.array(piece),
    ok: z.boolean(),
    refusal: refusal.exactOptional(),
  }),
  fault: z.strictObject({
    kind: z.literal('fault'),
    unit: z.string(),
    device: ref,
    pasid: count.exactOptional(),
    write: z.boolean(),
    iova: u64,
    code: count,
    reason: z.string(),
    text: z.string(),
  }),
  'pages-lost': z.strictObject({
    kind: z.literal('pages-lost'),
    by: z.string().describe('the call that took them'),
    pid: count,
    ranges: z.array(z.strictObject({ pa: u64, length: u64.describe('bytes') })),
  }),
  invalidate: z.strictObject({
    kind: z.literal('invalidate'),
    unit: z.string(),
    cache: z.string(),
    facts: z.record(z.string(), fact),
  }),
  interrupt: z.strictObject({
    kind: z.literal('interrupt'),
    device: ref,
    index: z.string(),
    vector: count,
    delivered: z.boolean(),
  }),
  mmio: z.strictObject({
    kind: z.literal('mmio'),
    device: ref,
    region: count,
    register: z.string().exactOptional(),
    offset: count,
    width: count,
    write: z.boolean(),
    value: u64,
  }),
  warn: z.strictObject({ kind: z.literal('warn'), id: z.string(), text: z.string() }),
  log: z.strictObject({
    kind: z.literal('log'),
    level: z.enum(['err', 'warn', 'info']),
    text: z.string(),
  }),
  life: z.strictObject({
    kind: z.literal('life'),
    what: z.enum(life),
    who: ref,
    detail: z.string().exactOptional(),
  }),
  'object-born': z.strictObject({
    kind: z.literal('object-born'),
    object: z.strictObject({ kind: z.string(), id: z.string() }),
  }),
  'object-gone': z.strictObject({ kind: z.literal('object-gone'), object: ref }),
} satisfies { [K in TraceEvent['kind']]: z.ZodType<TraceEvent> };

const frame = z.strictObject({
  pc: count,
  module: z.string().exactOptional().describe('the file its code is from'),
  offset: count.exactOptional().describe('of the module'),
  function: z.string().exactOptional(),
  source: z.strictObject({ file: z.string(), line: count }).exactOptional(),
});

/** A line that is not the first. */
export const stampedSchema = z.strictObject({
  seq: seq.describe('1 more than of the event before it; a selection leaves some out'),
  timeNs: z.number().nonnegative().describe('nanoseconds of the clock of the machine'),
  hostNs: z
    .number()
    .nonnegative()
    .exactOptional()
    .describe("nanoseconds of the host's clock, in a run"),
  comm: z.string().exactOptional().describe('name of the process that calls, where it is new'),
  call: seq.exactOptional().describe('the enter event of the call or turn it happened in'),
  cause: seq.exactOptional().describe('the event that set it going'),
  stack: z.array(frame).exactOptional().describe('where the call comes from, innermost first'),
  event: z.discriminatedUnion('kind', [
    EVENTS.enter,
    EVENTS.leave,
    EVENTS.sleep,
    EVENTS.signal,
    EVENTS.exit,
    EVENTS.driver,
    EVENTS.map,
    EVENTS.unmap,
    EVENTS.dma,
    EVENTS.fault,
    EVENTS['pages-lost'],
    EVENTS.invalidate,
    EVENTS.interrupt,
    EVENTS.mmio,
    EVENTS.warn,
    EVENTS.log,
    EVENTS.life,
    EVENTS['object-born'],
    EVENTS['object-gone'],
  ]),
}) satisfies z.ZodType<Stamped>;

/** The first line. */
export const headerSchema = z.strictObject({
  v: z.literal(TRACE_VERSION).describe('version of the format'),
  trace: z.literal('softiommu'),
  startedUs: z.number().nonnegative().describe('microseconds since 1970 when the clocks began'),
  program: z.array(z.string()).describe('the program and its arguments'),
  machine: z.record(z.string(), z.json()).describe('as in a machine file, with every default'),
});

/** The JSON Schema of a line: of the first, or of the others. */
export function traceJsonSchema(): z.core.JSONSchema.BaseSchema {
  const line = z.union([headerSchema, stampedSchema]).describe('a line of a trace, docs/trace.md');
  return z.toJSONSchema(line, { io: 'input' });
}

type Missing<T, In> = {
  [K in TraceEvent['kind']]: Exclude<keyof OfKind<T, K>, keyof OfKind<In, K>>;
}[TraceEvent['kind']];
type Unread = Missing<TraceEvent, z.output<typeof stampedSchema>['event']>;
/** A field that events have and the schema has not is an error here. */
export const COMPLETE: [Unread] extends [never] ? true : Unread = true;
