/**
 * A trace in parts, one a process: `-ff`. What happens in a call goes where the call goes, and what a call has set going too;
 * what is nobody's goes to the part of the machine.
 */
import type { Stamped } from '../../base/events.ts';
import { NewestMap } from '../../base/newest-map.ts';
import type { TraceSink } from './sink.ts';

/** Of what no process has set going. */
export const MACHINE_PART = 'machine';
/** Events whose part is remembered for what they cause; of an older one it is not known any more. */
const MOST_REMEMBERED = 65536;

/** `sinkOf`: of a part, asked once for each: the number of a process, or that of the machine. */
export function perProcess(sinkOf: (part: string) => TraceSink): TraceSink {
  const sinks = new Map<string, TraceSink>();
  /** By the number of an event. */
  const parts = new NewestMap<number, string>(MOST_REMEMBERED);
  const sink = (part: string): TraceSink => {
    const known = sinks.get(part) ?? sinkOf(part);
    sinks.set(part, known);
    return known;
  };
  return {
    take(stamped) {
      const part = partOf(stamped, parts);
      if (part !== MACHINE_PART) parts.add(stamped.seq, part);
      sink(part).take(stamped);
    },
    flush: () => sinks.forEach((each) => each.flush()),
  };
}

function partOf(
  { event, call = -1, cause = -1 }: Stamped,
  parts: Pick<NewestMap<number, string>, 'get'>,
): string {
  const pid = 'pid' in event ? event.pid : undefined;
  if (pid !== undefined) return String(pid);
  return parts.get(call) ?? parts.get(cause) ?? MACHINE_PART;
}
