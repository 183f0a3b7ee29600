/** What the checker of comments and pages takes for a citation, a file name, an anchor (scripts/citations.ts). */
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { describe, expect, test } from 'vitest';
import {
  anchors,
  bareCitations,
  chapters,
  citations,
  comments,
  declares,
  fileNames,
  filesMade,
  lineOf,
  links,
  namesInFiles,
  sections,
  SPECIFICATION,
} from '../scripts/citations.ts';

const cited = (text: string) => citations(text).map(({ page, chapter }) => `${page} ${chapter}`);
const bare = (text: string) => bareCitations(text).map(({ chapter }) => chapter);
const named = (text: string) => fileNames(text).map(({ name }) => name);

describe('a citation', () => {
  test.each([
    ['(core.md 4.2)', ['core.md 4.2']],
    ['core.md 8.3, 8.4 and their rows', ['core.md 8.3', 'core.md 8.4']],
    ['iommufd.md 4.1 to 4.7, in each', ['iommufd.md 4.1', 'iommufd.md 4.7']],
    ['iommufd.md 2.1-2.3', ['iommufd.md 2.1', 'iommufd.md 2.3']],
    ['iommufd.md chapter 6, 3.7', ['iommufd.md 6', 'iommufd.md 3.7']],
    ['vfio.md 1.10 step 10', ['vfio.md 1.10']],
    ['vfio.md 1.15a, 1.16', ['vfio.md 1.15a', 'vfio.md 1.16']],
    ['core.md 1, 10.2; formats.md 3', ['core.md 1', 'core.md 10.2', 'formats.md 3']],
    ['core.md 3.5,\n * formats.md 7', ['core.md 3.5', 'formats.md 7']],
    ['/**\n * (iommufd.md 2.10,\n * 2.5).', ['iommufd.md 2.10', 'iommufd.md 2.5']],
    ['docs/linux/core.md 7; of core.md in 2023', ['core.md 7']],
    ['core.md 4.2.1 or core.md 4.2x', []],
  ])('a citation in %j is %j', (text, found) => {
    expect(cited(text)).toEqual(found);
  });

  test('a citation knows where it stands', () => {
    const text = 'a\nb (core.md 1.1)';
    expect(lineOf(text, citations(text)[0]?.at ?? 0)).toBe(2);
  });
});

describe('a number alone', () => {
  test.each([
    ['the PASID layer (8.6): a domain', ['8.6']],
    ['(3.3, 3.4)', ['3.3', '3.4']],
    ['their rows of 12.3 say', ['12.3']],
    ['Linux 6.12 and (Linux 6.11), 2.5 GT/s', []],
    ['(2.5 GT/s), (6.11 and later)', []],
  ])('a number alone in %j: %j', (text, found) => {
    expect(bare(text)).toEqual(found);
  });
});

test('comments are found between strings that look like them', () => {
  const source = "const a = '// no'; // yes\nconst b = `/* no */`; /* and\n yes */\n";
  expect(comments(source).map(({ text }) => text.trim())).toEqual(['// yes', '/* and\n yes */']);
});

test('lines of // below one another are one comment', () => {
  expect(comments('// a (core.md 1,\n// 2)\nx;\n// b\n')).toHaveLength(2);
  expect(cited(comments('// a (core.md 1,\n// 2)\n')[0]?.text ?? '')).toEqual([
    'core.md 1',
    'core.md 2',
  ]);
});

test.each([
  ['see alias.ts and ../pci/acs.ts.', ['alias.ts', 'pci/acs.ts']],
  ['`src/vfio/pci/core.ts`', ['src/vfio/pci/core.ts']],
  ['bench/NAME.bench.ts, *.test.ts, FILE.md', []],
  ['README.md', ['README.md']],
])('file names in %j are %j', (text, found) => {
  expect(named(text)).toEqual(found);
});

const PAGE = `# Page

## 1. First: \`a\` & b
### 1.2 map / unmap
\`\`\`text
## 9. not a heading
\`\`\`
### 1.15a Worked
## Same
## Same
See §1.2, [there](#same-1), [code](x.md#y), [web](https://x.org/#z) and \`[no](#no)\`.
`;

test('the chapters of a page are found', () => {
  expect([...chapters(PAGE)]).toEqual(['1', '1.2', '1.15a']);
});

test('the anchors of a page are found', () => {
  expect([...anchors(PAGE)]).toEqual([
    'page',
    '1-first-a--b',
    '12-map--unmap',
    '115a-worked',
    'same',
    'same-1',
  ]);
});

test('the links and sections of a page are found', () => {
  expect(links(PAGE).map(({ file, anchor }) => `${file}#${anchor}`)).toEqual(['#same-1', 'x.md#y']);
  expect(sections(PAGE).map(({ chapter }) => chapter)).toEqual(['1.2']);
});

test('what is not there is told with its file and line', () => {
  const root = mkdtempSync(join(tmpdir(), 'citations-'));
  const put = (path: string, text: string) => {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), text);
  };
  for (const page of Object.values(SPECIFICATION))
    put(page, '# Page\n\n## 1. One\n\nSee §1 and §2.\n');
  put('src/a.ts', '/** Follows core.md 1, 9.9 and b.ts. */\n\n/* (3.3) */\n');
  put('src/b/both.ts', 'function twice() {}\n');
  put('src/both.ts', 'function twice() {}\nfunction once() {}\n');
  put(
    'docs/c.md',
    '\n[here](linux/core.md#1-one) [nowhere](linux/core.md#two) [gone](d.md) `a.ts:go`\n' +
      '`both.ts:twice` `b/both.ts:twice` `both.ts:once`\n',
  );
  const script = resolve('scripts/check-citations.ts');
  const out = spawnSync(resolve('node_modules/.bin/tsx'), [script], {
    cwd: root,
    encoding: 'utf8',
  });
  rmSync(root, { recursive: true });
  expect(out.status).toBe(1);
  const told = out.stderr.trim().split('\n');
  expect(told.filter((line) => line.endsWith('the page has no §2'))).toHaveLength(6);
  expect(told.filter((line) => !line.endsWith('the page has no §2'))).toEqual([
    'src/a.ts:1: core.md has no 9.9',
    'src/a.ts:1: there is no b.ts',
    'src/a.ts:3: 3.3 is no chapter of core.md',
    'docs/c.md:2: a.ts declares no go',
    'docs/c.md:3: both.ts:twice is one of src/b/both.ts, src/both.ts',
    'docs/c.md:2: linux/core.md has no heading #two',
    'docs/c.md:2: link to d.md leads nowhere',
  ]);
});

describe('something in a file', () => {
  test('is a file and a name, private ones too', () => {
    const text = 'by `unit/unit.ts:translate`, then `pages.ts:#pin`; not `unit.ts:107`';
    expect(namesInFiles(text).map(({ file, name }) => `${file} ${name}`)).toEqual([
      'unit/unit.ts translate',
      'pages.ts #pin',
    ]);
  });
  test.each([
    ['export function mapPiece(place) {', 'mapPiece', true],
    ['  #pin(first: number) {', '#pin', true],
    ['  *#pins(first: number) {', '#pins', true],
    ['  pin(first: number) {', '#pin', false],
    ['  *#pages(first: number): Generator<number> {', '#pages', true],
    ['  ioctl: ({ files }, call) => files.ioctl(call),', 'ioctl', true],
    ['  return this.pin(first);', 'pin', false],
    ['const rc = mapPiece(place);', 'mapPiece', false],
    ['export class Pages {', 'Pages', true],
    ['  static create(words: Words): PasidTable {', 'create', true],
    ['  probeFinalize?(dev: Device): void;', 'probeFinalize', true],
  ])('%j: declares %s is %s', (source, name, found) => {
    expect(declares(source, name)).toBe(found);
  });
});

test('files that a page makes for its reader are there', () => {
  const page =
    'a\n<!-- file: a.mjs -->\n\n```js\n```\n<!-- file: b.c: the part -->\n<!-- not run: c.ts -->\n';
  expect([...filesMade(page)]).toEqual(['a.mjs', 'b.c']);
});
