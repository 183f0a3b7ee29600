// The text of a written-out walker (gen-walkers.ts), before it is laid out.
import type { Word } from '../src/pt/format.ts';
import type { FormatFacts } from './format-facts.ts';

/** Name of the class: `x86_64` is walked by `X8664Walker`. */
export function walkerName(format: string): string {
  const words = format.split('_').map((word) => word[0]!.toUpperCase() + word.slice(1));
  return `${words.join('')}Walker`;
}

/** Name of the file. */
export function walkerFile(format: string): string {
  return `${format.replaceAll('_', '-')}.ts`;
}

const HEAD = '// Written by scripts/gen-walkers.ts from the format; not to be changed by hand.';

/** All of a file. */
export function walkerText(facts: FormatFacts): string {
  const { name } = facts.format;
  return `${HEAD}
/* eslint-disable complexity, max-lines-per-function -- levels are written out, as bench/c/translate.c has them */
/** Walks tables of the format \`${name}\`; see written-parts.ts. */
${importsText(facts)}
${constantsText(facts)}

/** The quick way of \`${name}\`, the interpreted walker behind it. */
export class ${walkerName(name)} implements PageWalker {
  private readonly words: Int32Array;
  private readonly tables: number;
  private readonly leafLevels: number;
  private readonly tableMark: number;
  private readonly leafMark: number;
  private readonly dirtyMark: number;
  private readonly user: number;
  private readonly judge: PageWalker;
  ${canNest(facts) ? 'private readonly host: PageWalker | undefined;\n  private readonly ofHost = newWalkResult();' : ''}

  constructor(parts: WrittenParts) {
    const settings = writtenSettings(parts);
    this.words = settings.words;
    this.tables = settings.tables;
    this.leafLevels = settings.leafLevels;
    this.tableMark = settings.tableMark;
    this.leafMark = settings.leafMark;
    this.dirtyMark = settings.dirtyMark;
    this.user = settings.user;
    this.judge = settings.judge;
    ${canNest(facts) ? 'this.host = parts.host;' : ''}
  }

  ${walkText(facts, false)}
  ${canNest(facts) ? walkText(facts, true) : ''}
}
`;
}

/** The list of all, for createWalker(). */
export function indexText(formats: readonly string[]): string {
  const imports = formats.map(
    (name) => `import { ${walkerName(name)} } from './${walkerFile(name)}';`,
  );
  const rows = formats.map((name) => `['${name}', ${walkerName(name)}],`);
  return `${HEAD}
/** The written-out walkers, by the name of their format. */
import type { PageWalker } from '../walker.ts';
import type { WrittenParts } from '../written-parts.ts';
${imports.join('\n')}

export const WRITTEN: ReadonlyMap<string, new (parts: WrittenParts) => PageWalker> = new Map<
  string,
  new (parts: WrittenParts) => PageWalker
>([${rows.join('\n')}]);
`;
}

/** Tables of a host stage are found by frame. */
function canNest({ format }: FormatFacts): boolean {
  return format.granuleLg2 === 12;
}

function importsText(facts: FormatFacts): string {
  const nested = canNest(facts);
  return `import { ${nested ? 'newWalkResult, ' : ''}type PageWalker, type WalkCode, type WalkResult, type WalkRoot } from '../walker.ts';
import { writtenSettings, type WrittenParts } from '../written-parts.ts';`;
}

function hex(value: number): string {
  return value < 0 ? `-0x${(-value).toString(16)}` : `0x${value.toString(16)}`;
}

/** High half of the address field. */
function addressHigh({ format }: FormatFacts): number {
  const { shift, bits } = format.address;
  return 2 ** (shift + bits - 32) - 1;
}

function constantsText(facts: FormatFacts): string {
  const { format } = facts;
  const { kind } = format;
  return `
// Private to the file, so that V8 folds them.
const DONE = 0;
const READ = 1;
const WRITE = 2;
/** High half of the address field, and what its lowest bit is worth in granules. */
const ADDRESS_HIGH = ${hex(addressHigh(facts))};
const HIGH_GRANULES = ${hex(2 ** (32 - format.address.shift))};
/** Bits that tell a leaf from a table. */
const KIND = ${hex(kind.mask << kind.shift)};`;
}

function lines(...all: (string | false)[]): string {
  return all.filter((line) => line !== false && line !== '').join('\n');
}

/** A word of two by the access: a constant where both are the same. */
function byAccess(read: number, write: number): string {
  return read === write ? hex(read) : `write ? ${hex(write)} : ${hex(read)}`;
}

function needsText(
  name: string,
  needs: { readonly read: Word; readonly write: Word },
  more: string,
): string {
  return lines(
    `const ${name}Low = (${byAccess(needs.read.lo, needs.write.lo)}) | ${more};`,
    (needs.read.hi | needs.write.hi) !== 0 &&
      `const ${name}High = ${byAccess(needs.read.hi, needs.write.hi)};`,
  );
}

function walkText(facts: FormatFacts, nested: boolean): string {
  const { format, leafNeeds, tableNeeds } = facts;
  const { min, max } = format.topLevel;
  const perFrame = 2 ** (12 - format.granuleLg2);
  const levels = Array.from({ length: max }, (_, n) => max - n);
  const head = nested
    ? '/** The same, each table and the output found through the host stage. */\n#nested'
    : '/** As PageWalker has it. */\nwalk';
  return `
  ${head}(root: WalkRoot, iovaG: number, access: number, out: WalkResult): WalkCode {
    ${nested ? 'const { host: hostRoot } = root;\nconst { host, ofHost } = this;' : ''}
    ${!nested && canNest(facts) ? 'if (root.host !== undefined) return this.#nested(root, iovaG, access, out);' : ''}
    quick: {
      const { topLevel: top, limitG, upperG } = root;
      if (access < READ || access > WRITE || top < ${min} || top > ${max}) break quick;
      ${nested ? 'if (host === undefined || hostRoot === undefined) break quick;' : ''}
      ${!nested && !canNest(facts) ? 'if (root.host !== undefined) break quick;' : ''}
      if (limitG !== undefined && iovaG >= limitG && !(upperG !== undefined && iovaG >= upperG)) break quick;
      const { words, tables } = this;
      const low = iovaG | 0;
      const high = low === iovaG ? 0 : (iovaG * 2 ** -32) | 0;
      const write = access === WRITE;
      ${needsText('table', tableNeeds, 'this.tableMark | this.user')}
      let rights = -1;
      let level = 0;
      let table = root.pfn${perFrame === 1 ? '' : ` * ${perFrame}`};
      ${readText(facts, topIndex(min, max), nested, 'let ')}
      items: {
        ${levels.map((of) => levelText(facts, of, nested)).join('\n')}
      }
      ${needsText('leaf', leafNeeds, 'this.user')}
      ${leafText(facts, nested)}
    }
    return this.judge.walk(root, iovaG, access, out);
  }`;
}

/** Twice the index in the table of a level, of granule high:low. */
function indexOf(level: number): string {
  const at = 9 * level;
  if (at === 0) return '((low << 1) & 0x3fe)';
  if (at + 9 <= 32) return `((low >>> ${at - 1}) & 0x3fe)`;
  if (at < 32) return `(((low >>> ${at - 1}) | (high << ${33 - at})) & 0x3fe)`;
  return at === 32 ? '((high << 1) & 0x3fe)' : `((high >>> ${at - 33}) & 0x3fe)`;
}

/** The same in the top table, whatever its level. */
function topIndex(min: number, max: number): string {
  const usual = Math.min(3, max);
  const others = Array.from({ length: max - min + 1 }, (_, n) => min + n).filter(
    (level) => level !== usual,
  );
  const rest = others
    .slice(1)
    .reduceRight(
      (text, level) => `top === ${level} ? ${indexOf(level)} : ${text}`,
      indexOf(others[0]!),
    );
  return `(top === ${usual} ? ${indexOf(usual)} : ${rest})`;
}

/** Take an item of the table in hand. */
function readText({ format }: FormatFacts, index: string, nested: boolean, define = ''): string {
  const wordsLg2 = format.granuleLg2 - 2;
  // Tables of a frame begin where an index has no bit; those of a smaller granule may lie across.
  const place = (table: string) =>
    wordsLg2 === 10 ? `(${table} << 10) | ${index}` : `((${table} << ${wordsLg2}) + ${index}) | 0`;
  const found = nested
    ? `if (host.walk(hostRoot, table, READ, ofHost) !== DONE || ofHost.outG >= tables) break quick;`
    : 'if (table >= tables) break quick;';
  return `${found}
${define}at = ${place(nested ? 'ofHost.outG' : 'table')};
${define}lo = words[at]!;
${define}hi = words[at | 1]!;`;
}

/** The item of one level above 0 is in hand: on through a pointer that looks like our own, else out of the block. */
function levelText(facts: FormatFacts, level: number, nested: boolean): string {
  const { format, tableNeeds, rights, tablesHaveRights } = facts;
  const { shift } = format.address;
  const kind = format.kind.mask << format.kind.shift;
  const own = format.table(level).lo & kind;
  const hasHigh = (tableNeeds.read.hi | tableNeeds.write.hi) !== 0;
  const wanted = own === 0 ? 'tableLow' : `(tableLow | ${hex(own)})`;
  // Nested, the address may be any; else a table whose address has a high half lies beyond what is quick.
  const highMask = nested
    ? hasHigh
      ? 'tableHigh'
      : ''
    : hasHigh
      ? '(ADDRESS_HIGH | tableHigh)'
      : 'ADDRESS_HIGH';
  const highWanted = hasHigh ? 'tableHigh' : '0';
  const high = highMask === '' ? '' : ` || (hi & ${highMask}) !== ${highWanted}`;
  const body = `if ((lo & (tableLow | KIND)) !== ${wanted}${high}) {
  level = ${level};
  break items;
}
${tablesHaveRights ? `rights &= ${rights.half};` : ''}
table = ${nested ? '(hi & ADDRESS_HIGH) * HIGH_GRANULES + ' : ''}(lo >>> ${shift});
${readText(facts, indexOf(level - 1), nested)}`;
  return level > format.topLevel.min ? `if (top >= ${level}) {${body}}` : body;
}

function leafText(facts: FormatFacts, nested: boolean): string {
  const { format, leafNeeds, rights } = facts;
  const { shift } = format.address;
  const { kind, contiguous } = format;
  const hasHigh = (leafNeeds.read.hi | leafNeeds.write.hi) !== 0;
  const isLeaf =
    kind.mask === 1
      ? `(lo & KIND) === 0`
      : `((${hex(kind.leaves)} >>> ((lo >>> ${kind.shift}) & ${hex(kind.mask)})) & 1) === 0`;
  const runs =
    contiguous &&
    lines(
      `if (${[
        contiguous.mask.lo !== 0 &&
          `(lo & ${hex(contiguous.mask.lo)}) === ${hex(contiguous.mask.lo)}`,
        contiguous.mask.hi !== 0 &&
          `(hi & ${hex(contiguous.mask.hi)}) === ${hex(contiguous.mask.hi)}`,
      ]
        .filter((part) => part !== false)
        .join(' && ')}) break quick;`,
    );
  return lines(
    `if (level > 0 && ${isLeaf}) break quick;`,
    `if ((lo & leafLow) !== leafLow${hasHigh ? ' || (hi & leafHigh) !== leafHigh' : ''}) break quick;`,
    `const sizeLg2 = 9 * level;`,
    `if (((this.leafLevels >>> level) & 1) === 0 || sizeLg2 > ${32 - shift}) break quick;`,
    runs ?? '',
    `const marks = this.leafMark | (write ? this.dirtyMark : 0);`,
    nested
      ? `if ((lo & marks) !== marks) break quick;`
      : `if ((lo & marks) !== marks) { lo |= marks; words[at] = lo; }`,
    `const clean = (lo & this.dirtyMark) !== this.dirtyMark;`,
    `rights &= ${rights.half};`,
    `const prot = (rights >>> ${rights.shift}) & (clean ? READ : READ | WRITE);`,
    `const inside = (1 << sizeLg2) - 1;`,
    `const outG = (hi & ADDRESS_HIGH) * HIGH_GRANULES + (((lo >>> ${shift}) & ~inside) | (low & inside));`,
    nested
      ? `if (host.walk(hostRoot, outG, access, ofHost) !== DONE) break quick;
out.outG = ofHost.outG;
out.prot = prot & ofHost.prot;
out.sizeLg2 = sizeLg2 < ofHost.sizeLg2 ? sizeLg2 : ofHost.sizeLg2;`
      : `out.outG = outG;
out.prot = prot;
out.sizeLg2 = sizeLg2;`,
    `return DONE;`,
  );
}
