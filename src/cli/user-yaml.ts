/** YAML (and so JSON) that people write, with the line of every key, and mistakes reported with their place. */
import type { Problem } from '../machine/description/shape-problems.ts';
import { onOneLine, printable } from '../machine/description/wording.ts';
import { UserMistake } from './user-mistake.ts';
import { yamlData } from './yaml-data.ts';

/** Where in its file, or on the command line, a key of a description stands. */
export interface Places {
  /** Where a key stands: 'machine.yaml:7', '--device', 'preset default'. */
  readonly place: (path: Problem['path']) => string;
}

/** Text as data with the lines of its keys; what says nothing is an empty object. Throws UserMistake. */
export function parseYaml(text: string, name: string): Places & { readonly value: unknown } {
  const data = yamlData(text);
  if ('mistakes' in data) {
    throw new UserMistake(
      manyLines(data.mistakes.map(({ line, message }) => `${name}:${line}: ${message}`)),
    );
  }
  return { value: data.value ?? {}, place: (path) => `${name}:${data.lineOf(path)}` };
}

/** One line per problem: its place, its key, what is wrong and what would be allowed. */
export function problemsText(problems: readonly Problem[], source: Places): string {
  return manyLines(problems.map((problem) => problemText(problem, source)));
}

/** More lines than these help nobody. */
const MOST_LINES = 20;

function manyLines(lines: readonly string[]): string {
  const shown = [...new Set(lines)].slice(0, MOST_LINES);
  const more = lines.length - shown.length;
  return [...shown, ...(more > 0 ? [`and ${more} more`] : [])].join('\n');
}

function problemText(problem: Problem, source: Places): string {
  const path = problem.path.reduce<string>(
    (text, key) => (typeof key === 'number' ? `${text}[${key}]` : dotted(text, printable(key))),
    '',
  );
  const key = path ? `${path}: ` : '';
  // A message may tell a text as the file has it.
  return onOneLine(`${source.place(problem.path)}: ${key}${problem.message}`);
}

function dotted(before: string, key: string): string {
  return before ? `${before}.${key}` : key;
}
