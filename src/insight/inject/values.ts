/** What options of -e are given: whole numbers, times, errnos, signals and which of several calls. */
import { ERRNO, type Errno } from '../../base/errno.ts';
import { type Clause } from './clauses.ts';
import { Mistake } from '../mistake.ts';
import { SIGNAL_NUMBERS } from './signals.ts';

/** Larger ones do not leave a kernel. */
const LARGEST_ERRNO = 133;
const ERRNOS = Object.values(ERRNO)
  .filter(({ number }) => number <= LARGEST_ERRNO)
  .sort((a, b) => (a.name < b.name ? -1 : 1));

/** Which calls of those that a rule is for: from the first to the last, and of these each `step`th. Counted from 1. */
export interface When {
  readonly first: number;
  /** Inclusive; may be Infinity. */
  readonly last: number;
  readonly step: number;
}
/** Each. */
export const ALWAYS: When = { first: 1, last: Infinity, step: 1 };

/** Is it the turn of call `n`? */
export function isDue({ first, last, step }: When, n: number): boolean {
  return n >= first && n <= last && (n - first) % step === 0;
}

const WHEN = /^(\d{1,15})(?:\.\.(\d{1,15}))?(?:\+(\d{0,15}))?$/;
/** 'N', 'N+', 'N+STEP', 'N..M', 'N..M+STEP'. */
export function parseWhen(clause: Clause): When | Mistake {
  const [, from, to, by] = WHEN.exec(clause.value ?? '') ?? [];
  const wrong = (why: string): Mistake =>
    new Mistake(clause.valueColumn, `${why}: when is N, N+, N+STEP, N..M or N..M+STEP, from 1`);
  if (from === undefined || (to !== undefined && by === '')) {
    return wrong(`'${clause.value ?? ''}' says not which calls`);
  }
  const first = Number(from);
  const last = lastOf(first, to, by);
  const step = Number(by === '' ? 1 : (by ?? 1));
  if (first === 0 || step === 0)
    return wrong('the first call is number 1, and the least step is 1');
  return last < first ? wrong(`${last} comes before ${first}`) : { first, last, step };
}
function lastOf(first: number, to: string | undefined, by: string | undefined): number {
  if (to !== undefined) return Number(to);
  return by === undefined ? first : Infinity;
}

const UNITS: Readonly<Record<string, number>> = { s: 1e9, ms: 1e6, us: 1e3, ns: 1, '': 1e3 };
const LONGEST_NS = 86_400e9;
/** '500', '10ms', '1s': nanoseconds; without a unit it is microseconds. At most a day. */
export function parseTime(clause: Clause): number | Mistake {
  const [, digits, unit] = /^(\d{1,15})(s|ms|us|ns|)$/.exec(clause.value ?? '') ?? [];
  const ns = Number(digits ?? NaN) * UNITS[unit ?? '']!;
  if (ns > 0 && ns <= LONGEST_NS) return ns;
  return new Mistake(
    clause.valueColumn,
    `'${clause.value ?? ''}' is no time: a whole number of microseconds, or one with s, ms, us or ns, at most a day`,
  );
}

/** 'ENOMEM' or '12'. */
export function parseErrno(clause: Clause): Errno | Mistake {
  const { value = '' } = clause;
  const found = ERRNOS.find(({ name, number }) => name === value || String(number) === value);
  return (
    found ??
    new Mistake(
      clause.valueColumn,
      `'${value}' is no errno that the simulated kernel has: ${ERRNOS.map(({ name }) => name).join(' ')}`,
    )
  );
}

const LARGEST_INT = 0x7fff_ffff;
/** '7' or '0x7'; from 0 to what fits an int. */
export function parseNumber(clause: Clause): number | Mistake {
  const { value = '' } = clause;
  const number = /^(\d{1,10}|0x[\da-f]{1,8})$/i.test(value) ? Number(value) : NaN;
  if (number <= LARGEST_INT) return number;
  return new Mistake(clause.valueColumn, `'${value}' is no whole number from 0 to ${LARGEST_INT}`);
}
/** '0x1000' or '4096', of 64 bits. */
export function parseAddress64(clause: Clause): bigint | Mistake {
  const { value = '' } = clause;
  const address = /^(\d{1,20}|0x[\da-f]{1,16})$/i.test(value) ? BigInt(value) : -1n;
  if (address >= 0n && address < 1n << 64n) return address;
  return new Mistake(clause.valueColumn, `'${value}' is no address of 64 bits`);
}

/** 'SIGINT', 'INT' or '2'. */
export function parseSignal(clause: Clause): number | Mistake {
  const { value = '' } = clause;
  const byName = SIGNAL_NUMBERS[value.replace(/^SIG/, '')];
  const number = byName ?? (/^\d{1,2}$/.test(value) ? Number(value) : 0);
  if (number >= 1 && number <= 64) return number;
  return new Mistake(
    clause.valueColumn,
    `'${value}' is no signal: a number from 1 to 64, or ${Object.keys(SIGNAL_NUMBERS).join(' ')}`,
  );
}
