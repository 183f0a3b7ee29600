/**
 * What comments and pages point at: chapters of the specification ("core.md 4.2"), files ("alias.ts"), headings of pages.
 * Pure functions over texts; check-citations.ts reads the tree.
 */

/** The pages of the specification, by the name comments cite them under. */
export const SPECIFICATION = {
  'core.md': 'docs/linux/core.md',
  'iommufd.md': 'docs/linux/iommufd.md',
  'vfio.md': 'docs/linux/vfio.md',
  'drivers.md': 'docs/linux/drivers.md',
  'formats.md': 'docs/hardware/formats.md',
  'devices.md': 'docs/hardware/devices.md',
} as const;
export type Page = keyof typeof SPECIFICATION;

export interface Citation {
  readonly page: Page;
  readonly chapter: string;
  readonly at: number;
}

const CHAPTER = String.raw`\d{1,2}(?:\.\d{1,2}[ab]?)?(?![\w.]*\w)`;
const NEXT = String.raw`(?:,\s+(?:and\s+)?|\s+(?:and|to)\s+|\s?[-–/]\s?)`;
const LIST = String.raw`(?:chapters?\s+)?${CHAPTER}(?:${NEXT}(?:chapters?\s+)?${CHAPTER})*`;
const NAMED = new RegExp(
  String.raw`(?<![\w-])(core|iommufd|vfio|drivers|formats|devices)\.md\s+(${LIST})`,
  'g',
);
/** A number alone is a citation where nothing else is meant by one: "(8.6)", "(3.3, 3.4)", "rows of 12.3". */
const BARE = new RegExp(
  String.raw`\((?=\d+\.)(${LIST})(?=[);:,])|\b(?:rows?|rules?|repairs|checks|table|steps?)\s+of\s+(?=\d+\.)(${LIST})`,
  'g',
);

/** Lines of one comment or paragraph as one line of the same length, so that offsets stay. */
export function joined(text: string): string {
  return text.replace(/\n[ \t]*(?:\*(?!\/)|\/\/)?/g, (end) => ' '.repeat(end.length));
}

function chaptersIn(list: string): string[] {
  return list.match(new RegExp(CHAPTER, 'g')) ?? [];
}

/** "core.md 8.3, 8.4", "iommufd.md 4.1 to 4.7", "formats.md 7": each number is a citation. */
export function citations(text: string): Citation[] {
  return [...joined(text).matchAll(NAMED)].flatMap((match) =>
    chaptersIn(match[2] ?? '').map((chapter) => ({
      page: `${match[1]}.md` as Page,
      chapter,
      at: match.index,
    })),
  );
}

/** Numbers without a page's name. */
export function bareCitations(text: string): { readonly chapter: string; readonly at: number }[] {
  return [...joined(text).matchAll(BARE)].flatMap((match) =>
    chaptersIn(match[1] ?? match[2] ?? '').map((chapter) => ({ chapter, at: match.index })),
  );
}

const TOKEN =
  /'(?:\\.|[^'\\\n])*'|"(?:\\.|[^"\\\n])*"|`(?:\\.|[^`\\])*`|\/\*[\s\S]*?\*\/|(?:\/\/[^\n]*(?:\n[ \t]*(?=\/\/))?)+/g;

/** The comments of a TypeScript or C text; lines of `//` below one another are one comment. */
export function comments(source: string): { readonly text: string; readonly at: number }[] {
  return [...source.matchAll(TOKEN)]
    .filter(([token]) => token.startsWith('/'))
    .map((match) => ({ text: match[0], at: match.index }));
}

/** Names of files in prose: `alias.ts`, `vfio/pci/core.ts`. Placeholders (NAME.ts, *.test.ts) are none. */
export function fileNames(text: string): { readonly name: string; readonly at: number }[] {
  const pattern =
    /(?<![\w*<>{}.$/@-])(?:\.\.?\/)*((?:[\w.@-]+\/)*[\w-][\w.-]*\.(?:ts|mjs|cjs|md))\b/g;
  return [...text.matchAll(pattern)]
    .map((match) => ({ name: match[1] ?? '', at: match.index }))
    .filter(({ name }) => !/(?:^|\/)[A-Z][A-Z-]*\./.test(name) || UPPERCASE.has(name));
}
const UPPERCASE = new Set(['README.md', 'CONTRIBUTING.md', 'CHANGELOG.md']);

/** Files that a page makes for its reader: `<!-- file: NAME -->`, `<!-- file: NAME: PART -->` (scripts/check-docs.mjs). */
export function filesMade(markdown: string): Set<string> {
  const found = markdown.matchAll(/^<!-- file: ([^\s:]+)(?:: [^\n]*)? -->$/gm);
  return new Set([...found].map((match) => match[1] ?? ''));
}

/** Something in a file, as walks through the code name it: `unit/unit.ts:translate`, `pages.ts:#pin`. */
export interface NamedInFile {
  readonly file: string;
  readonly name: string;
  readonly at: number;
}
export function namesInFiles(text: string): NamedInFile[] {
  const pattern = /((?:[\w.@-]+\/)*[\w-]+\.(?:ts|mjs)):(#?[A-Za-z_]\w*)/g;
  return [...text.matchAll(pattern)].map(({ 1: file = '', 2: name = '', index: at }) => {
    return { file, name, at };
  });
}

/** Does a source declare this, as a function, a method, a class, a constant or a key? */
export function declares(source: string, name: string): boolean {
  const word = `(?<![\\w#.])${name}`;
  const declared = `(?:function\\*?|class|const|interface|type|get) ${name}\\b|^ +(?:(?:readonly|static|async) )*\\*?${word}\\??[(<:]`;
  return new RegExp(declared, 'm').test(source);
}

/** Markdown without its fenced blocks; what is left keeps its place. */
export function prose(markdown: string): string {
  return markdown.replace(/^```[\s\S]*?^```/gm, (block) => block.replace(/[^\n]/g, ' '));
}

/** The numbers of a page's headings of the second and third level. */
export function chapters(markdown: string): Set<string> {
  const found = prose(markdown).matchAll(/^#{2,3} (\d{1,2}(?:\.\d{1,2}[ab]?)?)\.? /gm);
  return new Set([...found].map((match) => match[1] ?? ''));
}

/** The anchors of a page, as GitHub makes them of its headings. */
export function anchors(markdown: string): Set<string> {
  const seen = new Map<string, number>();
  const names = new Set<string>();
  for (const [, heading = ''] of prose(markdown).matchAll(/^#{1,6} +(.+?) *$/gm)) {
    const name = heading
      .replace(/\[([^\]]*)\]\([^)]*\)/g, '$1')
      .toLowerCase()
      .replace(/[^\p{L}\p{M}\p{N}_\- ]/gu, '')
      .replaceAll(' ', '-');
    const again = seen.get(name) ?? 0;
    seen.set(name, again + 1);
    names.add(again === 0 ? name : `${name}-${again}`);
  }
  return names;
}

/** Links of a page that stay in the repository: file ('' is the page itself) and anchor. */
export function links(
  markdown: string,
): { readonly file: string; readonly anchor: string; readonly at: number }[] {
  const text = prose(markdown).replace(/`[^`\n]*`/g, (code) => ' '.repeat(code.length));
  return [...text.matchAll(/\]\(([^)#\s]*)(?:#([^)\s]*))?\)/g)]
    .map((match) => ({ file: match[1] ?? '', anchor: match[2] ?? '', at: match.index }))
    .filter(({ file }) => !/^[a-z]+:/.test(file));
}

/** "§4.2" in a page of the specification: a chapter of the page itself. */
export function sections(markdown: string): { readonly chapter: string; readonly at: number }[] {
  return [...prose(markdown).matchAll(/§(\d{1,2}(?:\.\d{1,2}[ab]?)?)/g)].map((match) => ({
    chapter: match[1] ?? '',
    at: match.index,
  }));
}

export function lineOf(text: string, at: number): number {
  return text.slice(0, at).split('\n').length;
}
