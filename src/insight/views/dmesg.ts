/** The kernel log of a trace, as dmesg shows it: `[    1.022071] DMAR: …`. */
import type { TraceSink } from '../trace/sink.ts';

const NS_PER_US = 1000;
const US_PER_S = 1_000_000;

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
  const us = Math.floor(timeNs / NS_PER_US);
  const seconds = String(Math.floor(us / US_PER_S)).padStart(5);
  return `[${seconds}.${String(us % US_PER_S).padStart(6, '0')}]`;
}
