/** The event stream for programs: every event at once, as a line of JSON, below a first line that says what it is. */
import { eventLine, headerLine, type TraceHeader } from '../trace/format.ts';
import type { TraceSink } from '../trace/sink.ts';

/** Every event as a line, when it happens. */
export function jsonView(print: (line: string) => void, header: TraceHeader): TraceSink {
  print(headerLine(header));
  return { take: (stamped) => print(eventLine(stamped)), flush: () => undefined };
}
