/**
 * Lines of a trace into events without checking each field, as insight/trace/read-trace.ts does, which is the oracle of this:
 * hundreds of thousands are to be seen at once. Facts of refusals stay the text they are shown as.
 */
import { bytesOfHex } from '../base/u64.ts';
import { ERRNO, type ErrnoName } from '../base/errno.ts';
import type { Stamped } from '../base/events.ts';
import type { WalkLine } from '../insight/report/report-view.ts';

/** Fields that are u64, by kind of event. */
const U64: Readonly<Record<string, readonly string[]>> = {
  map: ['iova', 'pa', 'length'],
  unmap: ['iova', 'pa', 'length'],
  dma: ['iova'],
  fault: ['iova'],
  mmio: ['value'],
};

/** A line of the trace of a report: an event, how a translation went, or the head. Undefined: it is none of these. */
export function lineOf(line: string): Told | undefined {
  const said = parsed(line);
  // cast: as report-view.ts has written it
  if (said === undefined || 'trace' in said || 'walk' in said) return said as unknown as Told;
  const { event } = said;
  if (!isFields(event)) return undefined;
  decode(event, U64[String(event['kind'])] ?? []);
  for (const place of placesOf(event['list'])) decode(place, ['at']);
  for (const piece of placesOf(event['pieces'])) decode(piece, ['iova', 'pa']);
  decodeValues(event['args']);
  decodeValues(event['after']);
  const { result } = event;
  if (isErrnoName(result)) event['result'] = ERRNO[result];
  // cast: a line that was written from one, with the fields above as they were
  return said as unknown as Stamped;
}

/** What a line tells. */
type Told = Stamped | WalkLine | Head;
/** The first line. */
export interface Head {
  readonly trace: string;
}
type Fields = Record<string, unknown>;

function decode(fields: Fields, names: readonly string[]): void {
  for (const name of names) {
    const value = fields[name];
    if (typeof value === 'string') fields[name] = BigInt(value);
  }
}
/** Arguments: u64 are shown in decimal or hex by their name, bytes as text. */
function decodeValues(values: unknown): void {
  if (!isFields(values)) return;
  for (const [name, value] of Object.entries(values)) {
    if (typeof value === 'string' && HEX.test(value)) values[name] = BigInt(value);
    else if (isFields(value) && typeof value['bytes'] === 'string') {
      values[name] = bytesOfHex(value['bytes']);
    }
  }
}
const HEX = /^0x[0-9a-f]+$/;

function placesOf(list: unknown): readonly Fields[] {
  // cast: of a transfer, whose lists have objects
  return Array.isArray(list) ? (list as Fields[]) : [];
}
function isErrnoName(value: unknown): value is ErrnoName {
  return typeof value === 'string' && Object.hasOwn(ERRNO, value);
}

function isFields(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null;
}

function parsed(line: string): Fields | undefined {
  try {
    const said: unknown = JSON.parse(line);
    return isFields(said) ? said : undefined;
  } catch {
    return undefined;
  }
}
