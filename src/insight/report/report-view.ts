/** The events of a run as a report is made of them: the lines of a trace, and with them how translations went. */
import type { Machine } from '../../machine/machine.ts';
import { jsonView } from '../views/jsonl.ts';
import type { TraceHeader } from '../trace/format.ts';
import type { TraceSink } from '../trace/sink.ts';
import { firstWalks, walkLines } from '../views/walk.ts';

/** So many faults are told with their page walk: the tables are looked at when they happen. */
const MOST_WALKS = 1000;

/** How a translation went: `seq` is the event it belongs to. */
export interface WalkLine {
  readonly walk: { readonly seq: number; readonly lines: readonly string[] };
}

/** Every event as a line, and after faults and the first transfer of each device a WalkLine. */
export function reportView(
  machine: Machine,
  header: TraceHeader,
  print: (line: string) => void,
): TraceSink {
  const events = jsonView(print, header);
  const first = firstWalks(machine);
  let walks = 0;
  return {
    take(stamped) {
      events.take(stamped);
      const { event, seq } = stamped;
      const lines =
        event.kind === 'fault' && walks++ < MOST_WALKS ? walkLines(machine, event) : first(stamped);
      if (lines.length > 0) print(JSON.stringify({ walk: { seq, lines } } satisfies WalkLine));
    },
    flush: () => events.flush(),
  };
}
