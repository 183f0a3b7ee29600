/**
 * What is wrong with the shape of data somebody wrote, in our own words: what was given, and what would be allowed.
 * The words of the library that compares shapes reach nobody.
 */
import type * as z from 'zod';
import { given } from './wording.ts';

/** A mistake in a description: where, and what would be allowed. */
export interface Problem {
  /** Keys and indexes from the top: ['devices', 0, 'at']. */
  readonly path: readonly (string | number)[];
  readonly message: string;
}

/** Pass to safeParse(): every issue that the shape itself has no words for gets ours. */
export const OUR_WORDS = { error: messageOf } as const;

type RawIssue = Parameters<z.core.$ZodErrorMap>[0];

function messageOf(issue: RawIssue): string {
  switch (issue.code) {
    case 'invalid_type':
      return must(KINDS[issue.expected] ?? issue.expected, issue.input);
    case 'too_big':
      return must(`at most ${String(issue.maximum)}`, issue.input);
    case 'too_small':
      return must(`at least ${String(issue.minimum)}`, issue.input);
    case 'invalid_value':
      return notAllowed(issue.input, issue.values.map(String));
    default:
      return `${given(issue.input)} is not allowed here`;
  }
}

const KINDS: Readonly<Record<string, string>> = {
  array: 'a list',
  boolean: 'true or false',
  int: 'a whole number',
  number: 'a number',
  object: 'keys and values',
  record: 'keys and values',
  string: 'text',
};

/** 'must be a list, not 7'. */
export function must(be: string, value: unknown): string {
  return `must be ${be}, not ${given(value)}`;
}

/** '40 is not allowed; allowed: 39, 48, 57'. */
export function notAllowed(value: unknown, allowed: readonly string[]): string {
  const what = value === undefined ? 'is missing' : `${given(value)} is not allowed`;
  return `${what}; allowed: ${allowed.join(', ')}`;
}

/** What the shape alone cannot say of an issue. */
export interface Shape {
  /** Keys allowed in the object at this place. */
  keysAt(path: Problem['path']): readonly string[];
  /** A value that fits none of several shapes: what to say of it. */
  unionProblems(issue: z.core.$ZodIssueInvalidUnion, path: Problem['path']): readonly Problem[];
}

/** One problem for every issue; for every key, where several are unknown. */
export function shapeProblems(
  issues: readonly z.core.$ZodIssue[],
  shape: Shape,
  above: Problem['path'] = [],
): Problem[] {
  return issues.flatMap((issue) => {
    const own = issue.path.map((key) => (typeof key === 'symbol' ? String(key) : key));
    const path = [...above, ...own];
    if (issue.code === 'unrecognized_keys') {
      const allowed = shape.keysAt(path).join(', ');
      return issue.keys.map((key) => ({
        path: [...path, key],
        message: `unknown key ${given(key)}; allowed: ${allowed}`,
      }));
    }
    if (issue.code === 'invalid_union') return shape.unionProblems(issue, path);
    return [{ path, message: issue.message }];
  });
}

/** What stands at a place of plain data; undefined: nothing. */
export function valueAt(data: unknown, path: Problem['path']): unknown {
  return path.reduce<unknown>(
    (value, key) =>
      typeof value === 'object' && value !== null && Object.hasOwn(value, key)
        ? Reflect.get(value, key)
        : undefined,
    data,
  );
}
