/** Trace events as text, one line each. A placeholder until the readable form is there: the event as JSON. */
import type { Stamped } from '../base/trace.ts';

export function formatEvent({ event }: Stamped): string | undefined {
  return JSON.stringify(event, (_key, value: unknown) => {
    if (typeof value === 'bigint') return `0x${value.toString(16)}`;
    if (typeof value === 'object' && value !== null && 'name' in value && 'number' in value) {
      return value.name;
    }
    return value;
  });
}
