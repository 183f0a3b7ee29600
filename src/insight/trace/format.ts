/**
 * The trace as a file of JSON lines: its version, its first line, and how values of events are written. What reads it is
 * read-trace.ts. A field is never given another meaning within a version; readers of version 1 pass over none.
 */
import { isErrno } from '../../base/errno.ts';
import type { Stamped } from '../../base/events.ts';
import { hex, hexOf } from '../../base/u64.ts';

/** Of the format. */
export const TRACE_VERSION = 1;
/** What the first line of every trace begins with, whatever its version. */
export const TRACE_MARK = /^\{"v":\d+,"trace":"softiommu"[,}]/;

/** The first line of a trace for people, in a file: by it a later run knows that the file may be overwritten. */
export const TEXT_MARK = '# trace of softiommu';
/** The first line of JSON lines before they had versions. */
export const OLD_MARK = '{"trace":"softiommu"}';

/** The first line of a trace: where and when it was made. */
export interface TraceHeader {
  readonly v: typeof TRACE_VERSION;
  readonly trace: 'softiommu';
  /** Microseconds since 1970 when the clocks of the trace began. */
  readonly startedUs: number;
  /** The program and its arguments. */
  readonly program: readonly string[];
  /** The machine, as in a machine file with every default filled in. */
  readonly machine: object;
}

/** The first line. */
export function headerLine(header: TraceHeader): string {
  const { v, trace, ...rest } = header;
  return JSON.stringify({ v, trace, ...rest }, plainValue);
}
/** An event: u64 values are hex strings, errno values their names, bytes `{"bytes":"00ff"}`. */
export function eventLine(stamped: Stamped): string {
  return JSON.stringify(stamped, plainValue);
}

function plainValue(_key: string, value: unknown): unknown {
  if (typeof value === 'bigint') return value < 0n ? `-${hex(-value)}` : hex(value);
  if (isErrno(value)) return value.name;
  if (value instanceof Uint8Array) return { bytes: hexOf(value) };
  return value;
}
