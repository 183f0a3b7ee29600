/** The event stream for programs: every event at once, as a line of JSON. */
import { isErrno } from '../../base/errno.ts';
import type { Stamped } from '../../base/events.ts';
import { hex } from '../../base/u64.ts';
import type { TraceView } from './text.ts';

/** Every event as a line, when it happens. */
export function jsonView(print: (line: string) => void): TraceView {
  return { take: (stamped) => print(toJsonLine(stamped)), flush: () => undefined };
}

/** One line of JSON; u64 values are hex strings, errno values their names. */
export function toJsonLine(stamped: Stamped): string {
  return JSON.stringify(stamped, (_key, value: unknown) => {
    if (typeof value === 'bigint') return hex(value);
    if (isErrno(value)) return value.name;
    if (value instanceof Uint8Array) return hexBytes(value);
    return value;
  });
}

function hexBytes(bytes: Uint8Array): string {
  return [...bytes].map((byte) => byte.toString(16).padStart(2, '0')).join('');
}
