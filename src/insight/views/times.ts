/** Times before and behind the lines of a trace, as strace has them. */
import type { Stamped } from '../../base/events.ts';

/** Which times stand before a line. */
export interface Times {
  /** Of day, of day with microseconds, seconds since 1970, or since the line before. */
  readonly kind: 'time' | 'micros' | 'epoch' | 'relative';
  /** Microseconds since 1970 when the clocks of the trace began. */
  readonly startedUs: number;
}

const US_PER_S = 1_000_000;
const NS_PER_US = 1000;

/** Nanoseconds since the trace began: of the host where it is known, for the machine's clock stands still in a call. */
export function momentOf({ hostNs, timeNs }: Stamped): number {
  return hostNs ?? timeNs;
}

/** What stands before the line of an event. */
export function timePrefix({ kind, startedUs }: Times): (stamped: Stamped) => string {
  let before: number | undefined;
  return (stamped) => {
    const us = startedUs + Math.floor(momentOf(stamped) / NS_PER_US);
    if (kind === 'relative') {
      const passed = Math.max(0, us - (before ?? us));
      before = us;
      return `${secondsText(passed).padStart(12)} `;
    }
    return kind === 'epoch' ? `${secondsText(us)} ` : `${timeOfDay(us, kind === 'micros')} `;
  };
}
/** Since boot, as the kernel's own traces and its log have it: '    1.022071'. */
export function bootTimeText(timeNs: number): string {
  return secondsText(Math.floor(timeNs / NS_PER_US)).padStart(12);
}
/** ` <0.000012>` */
export function spentText(ns: number): string {
  return ` <${secondsText(Math.max(0, Math.round(ns / NS_PER_US)))}>`;
}
/** Microseconds as '12.000345'. */
export function secondsText(us: number): string {
  return `${Math.floor(us / US_PER_S)}.${String(us % US_PER_S).padStart(6, '0')}`;
}
/** Where the run was: '14:03:59' or '14:03:59.000345'. */
function timeOfDay(us: number, withMicros: boolean): string {
  const date = new Date(us / NS_PER_US);
  const parts = [date.getHours(), date.getMinutes(), date.getSeconds()];
  const time = parts.map((part) => String(part).padStart(2, '0')).join(':');
  return withMicros ? `${time}.${String(us % US_PER_S).padStart(6, '0')}` : time;
}
