/**
 * Files that people write: YAML (and so JSON) with the line of every key, and mistakes reported with their place.
 */
import { readFileSync } from 'node:fs';
import { isMap, isNode, isPair, isScalar, LineCounter, parseDocument, type Document } from 'yaml';
import type { Problem } from '../machine/description/description.ts';

/** A mistake of the person at the keyboard: the message is all there is to say. */
export class UserMistake extends Error {
  override name = 'UserMistake';
}

/** Where in its file, or on the command line, a key of a description stands. */
export interface Places {
  /** Where a key stands: 'machine.yaml:7', '--device', 'preset default'. */
  place(path: Problem['path']): string;
}

/** Throws UserMistake. */
export function readUserFile(name: string, what: string): string {
  try {
    return readFileSync(name, 'utf8');
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : 'unknown';
    throw new UserMistake(`${what} ${name} cannot be read: ${REASONS[code] ?? code}`);
  }
}
const REASONS: Readonly<Record<string, string>> = {
  EACCES: 'permission denied',
  EISDIR: 'it is a directory',
  ENOENT: 'there is no such file',
  ENOTDIR: 'there is no such file',
};

/** Text as data with the lines of its keys. Throws UserMistake for what is no YAML. */
export function parseYaml(text: string, name: string): Places & { readonly value: unknown } {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
  const [broken] = document.errors;
  if (broken) {
    throw new UserMistake(`${name}:${lines.linePos(broken.pos[0]).line}: ${broken.message}`);
  }
  const value: unknown = document.toJS() ?? {};
  return { value, place: (path) => `${name}:${lineOf(document, lines, path)}` };
}

/** One line per problem: its place, its key, what is wrong and what would be allowed. */
export function problemsText(problems: readonly Problem[], source: Places): string {
  return problems.map((problem) => problemText(problem, source)).join('\n');
}

function problemText(problem: Problem, source: Places): string {
  const path = problem.path.reduce<string>(
    (text, key) => (typeof key === 'number' ? `${text}[${key}]` : text ? `${text}.${key}` : key),
    '',
  );
  const key = path ? `${path}: ` : '';
  return `${source.place(problem.path)}: ${key}${problem.message}`;
}

/** Line of the deepest part of the path that is there. */
function lineOf(document: Document, lines: LineCounter, path: Problem['path']): number {
  for (let depth = path.length; depth > 0; depth--) {
    const at = startOf(document, path.slice(0, depth));
    if (at !== undefined) return lines.linePos(at).line;
  }
  return 1;
}

/** Offset of a key (its name, not its value), or of an element of a list. */
function startOf(document: Document, path: Problem['path']): number | undefined {
  const parent = path.length > 1 ? document.getIn(path.slice(0, -1), true) : document.contents;
  const last = path.at(-1);
  if (isMap(parent)) {
    const pair = parent.items.find(
      (item) => isPair(item) && isScalar(item.key) && item.key.value === last,
    );
    const key = pair?.key;
    return isNode(key) ? key.range?.[0] : undefined;
  }
  const node = document.getIn(path, true);
  return isNode(node) ? node.range?.[0] : undefined;
}
