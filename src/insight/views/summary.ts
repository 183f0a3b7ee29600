/** The calls of a trace as a table, as strace counts them: time, calls, errors; commands by their names. */
import { isErrno } from '../../base/errno.ts';
import type { LeaveEvent, Stamped } from '../../base/events.ts';
import type { SummaryKey } from '../trace/choice.ts';
import type { TraceSink } from '../trace/sink.ts';
import { momentOf } from './times.ts';

interface Row {
  readonly name: string;
  calls: number;
  errors: number;
  /** In all. */
  ns: number;
}

const NS_PER_US = 1000;
const NS_PER_S = 1e9;
const HEAD = '% time     seconds  usecs/call     calls    errors syscall';
const RULE = '------ ----------- ----------- --------- --------- ----------------';

const ORDERS: Readonly<Record<SummaryKey, (a: Row, b: Row) => number>> = {
  calls: (a, b) => b.calls - a.calls,
  errors: (a, b) => b.errors - a.errors,
  name: () => 0,
  time: (a, b) => b.ns - a.ns,
};

/**
 * The table comes at the end. Time is that between the beginning of a call and its answer; of one that slept, if not
 * `wallClock`, that until it fell asleep.
 */
export function summaryView(
  print: (line: string) => void,
  sortBy: SummaryKey,
  wallClock = false,
): TraceSink {
  const rows = new Map<string, Row>();
  const begun = new Map<number, number>();
  const asleep = new Map<number, number>();
  const count = (event: LeaveEvent, ns: number): void => {
    const name = event.command ?? event.name;
    const row = rows.get(name) ?? { name, calls: 0, errors: 0, ns: 0 };
    rows.set(name, row);
    row.calls++;
    row.ns += ns;
    if (isErrno(event.result)) row.errors++;
  };
  return {
    take(stamped: Stamped) {
      const { event, call = -1 } = stamped;
      if (event.kind === 'enter' && event.what === 'syscall') begun.set(call, momentOf(stamped));
      if (event.kind === 'sleep' && !asleep.has(call)) asleep.set(call, momentOf(stamped));
      if (event.kind !== 'leave' || event.what !== 'syscall') return;
      const end = (wallClock ? undefined : asleep.get(call)) ?? momentOf(stamped);
      count(event, Math.max(0, end - (begun.get(call) ?? end)));
      begun.delete(call);
      asleep.delete(call);
    },
    flush: () => tableLines([...rows.values()], sortBy).forEach(print),
  };
}

function tableLines(rows: readonly Row[], sortBy: SummaryKey): string[] {
  const byName = (a: Row, b: Row): number => (a.name < b.name ? -1 : 1);
  const sorted = [...rows].sort((a, b) => ORDERS[sortBy](a, b) || byName(a, b));
  const total: Row = { name: 'total', calls: 0, errors: 0, ns: 0 };
  for (const { calls, errors, ns } of rows) {
    total.calls += calls;
    total.errors += errors;
    total.ns += ns;
  }
  const lines = [...sorted, total].map((row) => rowLine(row, total.ns));
  return [HEAD, RULE, ...lines.slice(0, -1), RULE, lines.at(-1)!];
}
function rowLine({ name, calls, errors, ns }: Row, allNs: number): string {
  const share = allNs === 0 ? 0 : (100 * ns) / allNs;
  const perCall = calls === 0 ? 0 : Math.floor(ns / NS_PER_US / calls);
  return [
    share.toFixed(2).padStart(6),
    (ns / NS_PER_S).toFixed(6).padStart(11),
    String(perCall).padStart(11),
    String(calls).padStart(9),
    (errors === 0 ? '' : String(errors)).padStart(9),
    name,
  ].join(' ');
}
