/** What one run of a program did, read from its trace in JSON lines: its calls in order, and what it left behind. */
import { nameInSets } from '../inject/call-set.ts';

/** A call that can be made to fail. */
export interface RecordedCall {
  /** Its name in a SET of -e inject: of the system call, or of the ioctl command. */
  readonly name: string;
  /** The how manieth of this name in the run, from 1: `per=run:when=N`. */
  readonly nth: number;
}
/** One run. */
export interface RunRecord {
  readonly calls: readonly RecordedCall[];
  /** Kinds of objects that went with a close instead of by a call of their own, sorted. */
  readonly left: readonly string[];
  /** DMA that the IOMMU stopped. */
  readonly faults: number;
  /** By the address of a device: has it moved memory, has it interrupted? */
  readonly devices: ReadonlyMap<string, { dma: boolean; interrupts: boolean }>;
}

/** The parts of an event that matter here. */
interface Line {
  readonly call?: number;
  readonly event?: {
    readonly kind?: string;
    readonly what?: string;
    readonly name?: string;
    readonly command?: string;
    readonly object?: { readonly kind: string };
    readonly device?: { readonly id: string };
  };
}
type LineEvent = NonNullable<Line['event']>;

/** Objects of a program that are its own to end; the file itself goes with the last descriptor. */
const OWN_KINDS = /^[A-Z]/;
/** Cannot be made to fail. */
const NO_TARGET = new Set(['close']);

/** Calls by their names, in order. */
export function numbered(names: readonly string[]): RecordedCall[] {
  const counts = new Map<string, number>();
  return names.map((name) => {
    const nth = (counts.get(name) ?? 0) + 1;
    counts.set(name, nth);
    return { name, nth };
  });
}
/** Reads the lines of one trace. */
export function recordOf(lines: Iterable<string>): RunRecord {
  const reader = new RecordReader();
  for (const line of lines) reader.take(parsed(line));
  return reader.record;
}

class RecordReader {
  readonly #names: string[] = [];
  /** By the number of their enter event. */
  readonly #closes = new Set<number>();
  readonly #left: string[] = [];
  readonly #devices = new Map<string, { dma: boolean; interrupts: boolean }>();
  #faults = 0;

  take({ event, call = -1 }: Line): void {
    if (!event) return;
    const { kind, what, object } = event;
    if (kind === 'enter' && what === 'syscall') this.#enter(event, call);
    if (kind === 'object-gone' && object && this.#closes.has(call)) this.#left.push(object.kind);
    if (kind === 'fault') this.#faults++;
    noteDevice(this.#devices, event);
  }
  get record(): RunRecord {
    return {
      calls: numbered(this.#names),
      left: this.#left.filter((kind) => OWN_KINDS.test(kind)).sort(),
      faults: this.#faults,
      devices: this.#devices,
    };
  }
  #enter(event: LineEvent, call: number): void {
    if (event.name === 'close') this.#closes.add(call);
    const name = targetOf(event);
    if (!NO_TARGET.has(name)) this.#names.push(name);
  }
}
function parsed(line: string): Line {
  try {
    // cast: every member is looked at before it is used
    return JSON.parse(line) as Line;
  } catch {
    return {}; // the last line of a run that was killed
  }
}
function targetOf({ name = '', command }: LineEvent): string {
  return nameInSets(command === undefined ? { name } : { name, command });
}
function noteDevice(
  devices: Map<string, { dma: boolean; interrupts: boolean }>,
  { kind, device }: LineEvent,
): void {
  if ((kind !== 'dma' && kind !== 'interrupt') || !device) return;
  const known = devices.get(device.id) ?? { dma: false, interrupts: false };
  known[kind === 'dma' ? 'dma' : 'interrupts'] = true;
  devices.set(device.id, known);
}
