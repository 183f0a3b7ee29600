/** The kernel log of a trace, as dmesg shows it: `[    1.022071] DMAR: …`. */
import type { TraceSink } from '../trace/sink.ts';
import { bootTimeText } from './times.ts';

/** A line for each line of the log, and for each warning of the kernel. */
export function dmesgView(print: (line: string) => void): TraceSink {
  return {
    take({ event, timeNs }) {
      if (event.kind === 'log') print(`${stamp(timeNs)} ${event.text}`);
      if (event.kind === 'warn') print(`${stamp(timeNs)} WARNING: ${event.id}: ${event.text}`);
    },
    flush: () => undefined,
  };
}
function stamp(timeNs: number): string {
  return `[${bootTimeText(timeNs)}]`;
}
