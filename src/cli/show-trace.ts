/** A trace from its file to standard output or another file, event by event: it may be larger than memory. */
import { createReadStream, type ReadStream } from 'node:fs';
import { createInterface } from 'node:readline';
import { perProcess } from '../insight/trace/per-process.ts';
import type { LineForm, TraceChoice, TraceForm } from '../insight/trace/choice.ts';
import type { Selection } from '../insight/trace/expression.ts';
import type { TraceHeader } from '../insight/trace/format.ts';
import { readEvent, readHeader } from '../insight/trace/read-trace.ts';
import { selected } from '../insight/trace/select.ts';
import type { TraceSink } from '../insight/trace/sink.ts';
import { chosenView, selectionOf } from '../insight/views/chosen-view.ts';
import type { TracePacket } from '../insight/views/perfetto-packets.ts';
import { perfettoView } from '../insight/views/perfetto.ts';
import { printable } from '../machine/description/wording.ts';
import { systemReason } from '../host/sys/system-reason.ts';
import { TraceOutputs, type TraceOutput } from './trace-output.ts';
import { UserMistake } from './user-mistake.ts';

/** What is to be shown of which trace, and where. */
export interface TraceRequest {
  /** '-' is standard input. */
  readonly file: string;
  readonly form: TraceForm;
  /** Undefined: standard output. */
  readonly output: string | undefined;
  readonly choice: TraceChoice;
}

/** Throws UserMistake for what is no trace; what stands before the place is shown all the same. */
export async function showTrace({ file, form, output, choice }: TraceRequest): Promise<void> {
  const selection = selectionOf(choice);
  if ('problem' in selection) throw new UserMistake(selection.problem);
  const name = file === '-' ? 'standard input' : file;
  const lines = linesOf(file);
  const first = await nextLine(lines, name);
  const header = readHeader(first?.text ?? '');
  if ('problem' in header) throw new UserMistake(`${printable(name)}: ${header.problem}`);
  if (form === 'perfetto') checkForBytes(output, choice);
  using outputs = new TraceOutputs(partsOf(form, output, choice));
  const parts = { outputs, selection, choice, header };
  const sink =
    form === 'perfetto'
      ? selected(selection, perfettoView(await packetsTo(outputs.of()), header))
      : linesTo(form, parts);
  const damage = await feed(lines, name, sink);
  sink.flush();
  outputs.end();
  if (damage !== undefined) throw new UserMistake(damage);
}

/** Views of lines, one or one a process. */
function linesTo(
  form: LineForm,
  parts: {
    readonly outputs: TraceOutputs;
    readonly selection: Selection;
    readonly choice: TraceChoice;
    readonly header: TraceHeader;
  },
): TraceSink {
  const { outputs, selection, choice, header } = parts;
  const viewOf = (part?: string): TraceSink => {
    const out = outputs.of(part);
    return chosenView(form, choice, selection, { print: (line) => out.line(line), header });
  };
  return choice.perProcess ? perProcess(viewOf) : viewOf();
}
/** The file whose parts those of processes are; undefined: standard output. */
function partsOf(
  form: TraceForm,
  output: string | undefined,
  { perProcess: inParts }: TraceChoice,
): string | undefined {
  if (!inParts) return output;
  if (form !== 'text' && form !== 'json') {
    throw new UserMistake(`-ff is for text and json: --as ${form} is of the whole machine`);
  }
  if (output === undefined)
    throw new UserMistake('-ff writes a file for each process: name one with -o FILE');
  return output;
}

/** What is no text. */
function checkForBytes(output: string | undefined, { summary }: TraceChoice): void {
  if (summary) throw new UserMistake('-c and -C are for lines of text, and --as perfetto is none');
  if (output === undefined && process.stdout.isTTY) {
    throw new UserMistake('--as perfetto is no text for a terminal: name a file with -o FILE');
  }
}
/** The library that knows the wire format is loaded for it only. */
async function packetsTo(out: TraceOutput): Promise<(packet: TracePacket) => void> {
  const { packetBytes } = await import('./perfetto-wire.ts');
  return (packet) => out.bytes(packetBytes(packet));
}

/** To the end of the trace; a place that is damaged is where it ends. */
async function feed(
  lines: AsyncGenerator<TraceLine>,
  name: string,
  sink: TraceSink,
): Promise<string | undefined> {
  for (;;) {
    const line = await nextLine(lines, name);
    if (!line) return undefined;
    const event = readEvent(line.text, line.last);
    if ('problem' in event) return `${printable(name)}:${line.number}: ${event.problem}`;
    sink.take(event);
  }
}

interface TraceLine {
  readonly text: string;
  readonly number: number;
  /** None follows. */
  readonly last: boolean;
}

async function* linesOf(file: string): AsyncGenerator<TraceLine> {
  const input: ReadStream | NodeJS.ReadStream =
    file === '-' ? process.stdin : createReadStream(file);
  refuseLongLines(input, file);
  const read = createInterface({ input, crlfDelay: Infinity });
  // An error of the file is not one of the lines: it ends them.
  const failed = new Promise<never>((_resolve, reject) => input.once('error', reject));
  failed.catch(() => undefined);
  const texts = read[Symbol.asyncIterator]();
  let number = 0;
  let held: string | undefined;
  for (;;) {
    const next = await Promise.race([texts.next(), failed]);
    if (held !== undefined) yield { text: held, number: ++number, last: next.done === true };
    if (next.done) return;
    held = next.value;
  }
}
/** Of no run is a line longer; one of some other file may be longer than any text can be. */
const LONGEST_LINE = 64 * 2 ** 20;
function refuseLongLines(input: ReadStream | NodeJS.ReadStream, file: string): void {
  let length = 0;
  input.on('data', (piece: Buffer | string) => {
    const end = piece.lastIndexOf('\n');
    length = end < 0 ? length + piece.length : piece.length - end - 1;
    if (length <= LONGEST_LINE) return;
    const what = `a line of ${printable(file)} is longer than ${LONGEST_LINE} bytes`;
    input.destroy(new UserMistake(`${what}: it is no trace of softiommu`));
  });
}
async function nextLine(
  lines: AsyncGenerator<TraceLine>,
  name: string,
): Promise<TraceLine | undefined> {
  try {
    const next = await lines.next();
    return next.done ? undefined : next.value;
  } catch (error) {
    if (error instanceof UserMistake) throw error;
    throw new UserMistake(`the trace ${printable(name)} cannot be read: ${systemReason(error)}`);
  }
}
