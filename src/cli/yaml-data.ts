/**
 * YAML (and so JSON) as plain data with the line of every key. What only some readers of YAML would understand the same
 * way is refused in our own words: repeated keys, tags, directives, a second document, aliases of nothing.
 *
 * What is written may be anything: nesting and size are limited before anything is built from it.
 */
import {
  Composer,
  isAlias,
  isMap,
  isScalar,
  isSeq,
  Lexer,
  LineCounter,
  Parser,
  type Scalar,
  type YAMLMap,
  type YAMLParseError,
} from 'yaml';
import { given, printable } from '../machine/description/wording.ts';

/** What is wrong with a text, and in which line. */
export interface YamlMistake {
  readonly line: number;
  readonly message: string;
}
/** Where something stands, and what stands in it. */
interface Place {
  readonly line: number;
  readonly inside: Map<string | number, Place>;
}
/** A text as data. */
export interface YamlData {
  /** Undefined: the text says nothing. */
  readonly value: unknown;
  /** Line of the deepest part of the path that is there. */
  lineOf(path: readonly (string | number)[]): number;
}

/** Lists and keys inside each other. */
const DEEPEST = 64;
const TOO_DEEP = `more than ${DEEPEST} lists and keys in each other`;
/** Values, those an alias stands for counted each time. */
const MOST_VALUES = 100_000;

/** The text as data, or everything that is wrong with it. */
export function yamlData(text: string): YamlData | { readonly mistakes: readonly YamlMistake[] } {
  const steep = tooDeepToParse(text);
  if (steep !== undefined) return { mistakes: [{ line: steep, message: TOO_DEEP }] };
  const lines = new LineCounter();
  const tokens = [...new Parser(lines.addNewLine).parse(text)];
  const lineAt = (offset: number): number => Math.max(1, lines.linePos(offset).line);
  const problemAt = (offset: number, message: string) => ({
    mistakes: [{ line: lineAt(offset), message }],
  });
  const directive = tokens.find(({ type }) => type === 'directive');
  if (directive) return problemAt(directive.offset, 'lines that begin with % have no meaning here');
  const deep = tooDeep(tokens);
  if (deep !== undefined) return problemAt(deep, TOO_DEEP);
  // Keys are compared below: the library does it in quadratic time.
  const documents = [...new Composer({ uniqueKeys: false }).compose(tokens, true, text.length)];
  for (const document of documents) {
    const [broken] = [...document.errors, ...document.warnings];
    if (broken) return problemAt(broken.pos[0], WORDS[broken.code]);
  }
  const [document, second] = documents;
  if (second) return problemAt(second.range[0], 'a second document begins: a file has one');
  if (!document) return { value: undefined, lineOf: () => 1 };
  const reader = new Reader(lineAt);
  const top = reader.read(document.contents);
  if (reader.mistakes.length > 0) return { mistakes: reader.mistakes };
  return { value: top.value ?? undefined, lineOf: (path) => lineOf(top.place, path) };
}

function lineOf(top: Place, path: readonly (string | number)[]): number {
  let place = top;
  for (const key of path) {
    const next = place.inside.get(key);
    if (!next) break;
    place = next;
  }
  return place.line;
}

/** Every reason for which the parser gives up on a text, in our words. */
const WORDS: Readonly<Record<YAMLParseError['code'], string>> = {
  ALIAS_PROPS: 'an alias (*name) takes no anchor and no tag',
  BAD_ALIAS: 'this is no alias: a name stands after *',
  BAD_COLLECTION_TYPE: 'tags (!name) have no meaning here',
  BAD_DIRECTIVE: 'lines that begin with % have no meaning here',
  BAD_DQ_ESCAPE: 'there is no such escape: write \\\\ for a backslash, or use single quotes',
  BAD_INDENT: 'the indentation does not fit the lines above, or a bracket is not closed',
  BAD_PROP_ORDER: 'an anchor (&name) stands on the wrong side of what it names',
  BAD_SCALAR_START: 'a text that begins with this character needs quotes',
  BLOCK_AS_IMPLICIT_KEY: 'a second key on one line: a text with a colon in it needs quotes',
  BLOCK_IN_FLOW: 'inside [ ] and { } items are separated by commas, not by lines',
  DUPLICATE_KEY: 'a key stands here twice',
  IMPOSSIBLE: 'this cannot be understood',
  KEY_OVER_1024_CHARS: 'a key is longer than 1024 characters',
  MISSING_CHAR: 'something is missing: a closing quote or bracket, a colon, a comma or a space',
  MULTILINE_IMPLICIT_KEY: 'a key goes over more than one line, or its colon is missing',
  MULTIPLE_ANCHORS: 'two anchors (&name) for one thing',
  MULTIPLE_DOCS: 'a second document begins: a file has one',
  MULTIPLE_TAGS: 'tags (!name) have no meaning here',
  NON_STRING_KEY: 'a key must be text',
  RESOURCE_EXHAUSTION: 'lists and keys are too deep in each other',
  TAB_AS_INDENT: 'a tab indents this line: only spaces may',
  TAG_RESOLVE_FAILED: 'tags (!name) have no meaning here',
  UNEXPECTED_TOKEN: 'this does not belong here',
};

// --- how deep ---

type Token = ReturnType<Parser['parse']> extends Generator<infer T> ? T : never;

/** The lexer says with it that a scalar follows. */
const SCALAR = '\x1f';

/**
 * The line in which brackets, or the dashes of one line, go too deep. What is so deep that the parser would take long
 * is found by the lexer, which does not remember what is above.
 */
function tooDeepToParse(text: string): number | undefined {
  let [line, brackets, dashes, before] = [1, 0, 0, ''];
  for (const token of new Lexer().lex(text)) {
    if (before !== SCALAR) {
      if (token === '[' || token === '{') brackets++;
      if (token === ']' || token === '}') brackets--;
      if (token === '-' || token === '?') dashes++;
      if (Math.max(brackets, dashes) > DEEPEST) return line;
    }
    const ends = token.split('\n').length - 1;
    if (ends > 0) dashes = 0;
    line += ends;
    before = token;
  }
  return undefined;
}

/** Where the text goes too deep. Without recursion: the text may be as deep as it is long. */
function tooDeep(tokens: readonly Token[]): number | undefined {
  const left: [token: Token, depth: number][] = tokens.map((token) => [token, 0]);
  for (let next = left.pop(); next; next = left.pop()) {
    const [token, depth] = next;
    if (depth > DEEPEST) return token.offset;
    if (token.type === 'document' && token.value) left.push([token.value, depth]);
    if (!('items' in token)) continue;
    for (const { key, value } of token.items) {
      if (key) left.push([key, depth + 1]);
      if (value) left.push([value, depth + 1]);
    }
  }
  return undefined;
}

// --- from nodes to data ---

interface Read {
  readonly value: unknown;
  readonly place: Place;
  /** Values in it, itself included. */
  readonly size: number;
}

class Reader {
  readonly mistakes: YamlMistake[] = [];
  readonly #lineAt: (offset: number) => number;
  /** What an alias of this name stands for; undefined while that is being read. */
  readonly #anchors = new Map<string, Read | undefined>();
  #size = 0;

  constructor(lineAt: (offset: number) => number) {
    this.#lineAt = lineAt;
  }

  read(node: unknown, before = 1): Read {
    const line = lineOfNode(node, this.#lineAt) ?? before;
    if (isAlias(node)) return this.#alias(node.source, line);
    const anchor = isMap(node) || isSeq(node) || isScalar(node) ? node.anchor : undefined;
    if (anchor !== undefined) this.#anchors.set(anchor, undefined);
    const from = this.#size++;
    const place: Place = { line, inside: new Map() };
    const value = this.#content(node, place);
    const read = { value, place, size: this.#size - from };
    if (anchor !== undefined) this.#anchors.set(anchor, read);
    return read;
  }

  #content(node: unknown, place: Place): unknown {
    if ((isMap(node) || isSeq(node) || isScalar(node)) && node.tag !== undefined) {
      this.#mistake(place.line, WORDS.TAG_RESOLVE_FAILED);
      return undefined;
    }
    if (isMap(node)) return this.#map(node, place);
    if (!isSeq(node)) return isScalar(node) ? node.value : null;
    return node.items.map((item, n) => {
      const { value, place: at } = this.read(item, place.line);
      place.inside.set(n, at);
      return value;
    });
  }

  #map(node: YAMLMap, place: Place): object {
    const out: Record<string, unknown> = {};
    for (const pair of node.items) {
      const line = lineOfNode(pair.key, this.#lineAt) ?? place.line;
      const { value, place: at } = this.read(pair.value, line);
      const key = this.#key(pair.key, line);
      if (key === undefined) continue;
      const first = place.inside.get(key);
      if (first)
        this.#mistake(line, `the key ${given(key)} is there already, in line ${first.line}`);
      place.inside.set(key, { line, inside: at.inside });
      out[key] = value;
    }
    return out;
  }

  #key(node: unknown, line: number): string | undefined {
    const key = isScalar(node) && node.tag === undefined ? keyText(node) : undefined;
    if (key === undefined) this.#mistake(line, 'a key must be text');
    // An object of JavaScript would not have it as a key of its own.
    if (key === '__proto__') this.#mistake(line, 'no key is called __proto__');
    return key === '__proto__' ? undefined : key;
  }

  /** The size is counted again: what takes no room here does for whoever walks the data. */
  #alias(name: string, line: number): Read {
    const place: Place = { line, inside: new Map() };
    const known = this.#anchors.get(name);
    this.#size += known?.size ?? 1;
    if (known && this.#size <= MOST_VALUES) return { ...known, place };
    this.#mistake(line, this.#aliasProblem(name, known));
    return { value: undefined, place, size: 1 };
  }

  #aliasProblem(name: string, known: Read | undefined): string {
    if (known) return `with its aliases the file has more than ${MOST_VALUES} values`;
    const shown = printable(name);
    if (this.#anchors.has(name)) return `the alias *${shown} stands inside what it names`;
    return `the alias *${shown} names nothing: there is no &${shown} above`;
  }

  #mistake(line: number, message: string): void {
    this.mistakes.push({ line, message });
  }
}

/** As it is written, where it is a number to YAML. */
function keyText({ value, source }: Scalar): string | undefined {
  if (typeof value === 'string') return value;
  return value === null ? undefined : source;
}

function lineOfNode(node: unknown, lineAt: (offset: number) => number): number | undefined {
  const known = isMap(node) || isSeq(node) || isScalar(node) || isAlias(node);
  return known && node.range ? lineAt(node.range[0]) : undefined;
}
