/**
 * What is selected of a trace, in strace's words: `-e trace=SET`, `-e status=…`, and of ours `-e bdf=…` and
 * `-e ioas=…`. A mistake is told with the column it begins in.
 */
import { FAULT_WORDS } from '../inject/fault-words.ts';
import { Mistake } from '../mistake.ts';
import { CLASS_NAMES, classNames, knownName } from './names.ts';

/** How a call ended. */
export type CallStatus = 'successful' | 'failed' | 'unfinished';

/** What is shown of a trace: events for which all of these hold. */
export interface Selection {
  /** Of its name, or that of its call. */
  readonly names?: (name: string) => boolean;
  /** The set of names is of those that are not shown. */
  readonly negated?: boolean;
  readonly status?: CallStatus;
  /** A call touches one of these paths. */
  readonly paths?: readonly string[];
  /** Address of a device: '0000:00:04.0'. */
  readonly bdf?: string;
  /** Id of an IOAS, as the program has it. */
  readonly ioas?: number;
}

/** An expression that cannot be understood. */
export interface ExpressionProblem {
  readonly problem: string;
}

type Parsed = Partial<Selection> | Mistake;

const STATUSES: readonly CallStatus[] = ['successful', 'failed', 'unfinished'];
const BDF = /^(?:[0-9a-f]{4}:)?[0-9a-f]{2}:[0-1][0-9a-f]\.[0-7]$/i;

/** By what stands before the `=`. */
const QUALIFIERS: Readonly<Record<string, (text: string) => Parsed>> = {
  bdf(text) {
    if (!BDF.test(text))
      return new Mistake(1, `'${text}' is no address of a device such as 0000:00:04.0`);
    const bdf = text.toLowerCase();
    return { bdf: bdf.length === 7 ? `0000:${bdf}` : bdf };
  },
  ioas: (text) =>
    /^\d{1,10}$/.test(text)
      ? { ioas: Number(text) }
      : new Mistake(1, `'${text}' is no id of an IOAS: a number`),
  status(text) {
    const status = STATUSES.find((each) => each === text);
    return status
      ? { status }
      : new Mistake(1, `there is no status '${text}': ${STATUSES.join(', ')}`);
  },
  trace: nameSet,
};
/** What stands before `=` in expressions that select. */
const SELECTING: readonly string[] = Object.keys(QUALIFIERS);

/** All `-e` of a command line; each qualifier is given once. */
export function parseSelection(expressions: readonly string[]): Selection | ExpressionProblem {
  let selection: Selection = {};
  const given = new Set<string>();
  for (const text of expressions) {
    const { key, rest, at } = split(text);
    const qualifier = QUALIFIERS[key];
    const parsed: Parsed = given.has(key)
      ? new Mistake(1, `${key}= is given twice`)
      : (qualifier?.(rest) ?? unknownQualifier(key, at));
    if (parsed instanceof Mistake) return { problem: parsed.behind(at).of(text) };
    given.add(key);
    selection = { ...selection, ...parsed };
  }
  return selection;
}

/** `trace=` may be left out. */
function split(text: string): { key: string; rest: string; at: number } {
  const [, key] = /^([a-z]+)=/.exec(text) ?? [];
  if (key === undefined) return { key: 'trace', rest: text, at: 0 };
  return { key, rest: text.slice(key.length + 1), at: key.length + 1 };
}
function unknownQualifier(key: string, at: number): Mistake {
  const known = SELECTING.map((each) => `${each}=`).join(', ');
  return new Mistake(1 - at, `there is no ${key}=; there are ${known}${IN_A_RUN}`);
}
/** What else `run` takes there. */
const IN_A_RUN = `, and for \`run\` ${FAULT_WORDS.map((word) => `${word}=`).join(', ')} (docs/inject.md)`;
/** Names, `%class`, `/REGEX`, `?name`, `all` and `none`, with commas; `!` before all of them. */
function nameSet(text: string): Parsed {
  const negated = text.startsWith('!');
  const tests: ((name: string) => boolean)[] = [];
  let at = negated ? 1 : 0;
  for (const item of text.slice(at).split(',')) {
    const test = nameTest(item);
    if (test instanceof Mistake) return test.behind(at);
    tests.push(test);
    at += item.length + 1;
  }
  return { names: (name) => tests.some((test) => test(name)), negated };
}
function nameTest(item: string): ((name: string) => boolean) | Mistake {
  if (item === '') return new Mistake(1, 'a name is missing');
  if (item === 'all') return () => true;
  if (item === 'none') return () => false;
  if (item.startsWith('/')) return patternTest(item.slice(1));
  const tolerant = item.startsWith('?');
  const name = tolerant ? item.slice(1) : item;
  const of = name.startsWith('%') ? classNames(name.slice(1)) : oneOf(knownName(name));
  if (of) return (each) => of.includes(each);
  if (tolerant) return () => false;
  return new Mistake(1, unknownName(name));
}
function oneOf(name: string | undefined): readonly string[] | undefined {
  return name === undefined ? undefined : [name];
}
function unknownName(name: string): string {
  if (name.startsWith('%')) {
    return `there is no class '${name}': %${CLASS_NAMES.join(', %')}`;
  }
  return `there is no call, command or event '${name}' (?${name} tolerates that)`;
}
function patternTest(pattern: string): ((name: string) => boolean) | Mistake {
  try {
    const compiled = new RegExp(pattern);
    return (name) => compiled.test(name);
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    return new Mistake(2, `no regular expression: ${message}`);
  }
}
