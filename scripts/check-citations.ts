/**
 * What a comment or a page points at must be there: chapters of the specification, files, links with their anchors.
 * Prints file:line for each that is not.  npx tsx scripts/check-citations.ts
 */
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { basename, dirname, join, normalize } from 'node:path';
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
  prose,
  sections,
  SPECIFICATION,
  type Page,
} from './citations.ts';

const ROOTS = ['src', 'test', 'docs', 'examples', 'bench', 'conformance', 'scripts', 'lint'].filter(
  (root) => existsSync(root),
);
const SOURCE = /\.(?:ts|mjs|cjs|c|h)$/;
/** Made by tools, of sources that are checked themselves; or about files that are examples of wrong ones. */
const PASSED_OVER =
  /^(?:docs\/api\/|test\/golden\/|docs\/errno\.md$|docs\/abi\.md$|test\/citations\.test\.ts$)/;

const files = [
  ...readdirSync('.').filter((name) => name.endsWith('.md')),
  ...ROOTS.flatMap((root) =>
    readdirSync(root, { recursive: true, encoding: 'utf8' }).map((name) => join(root, name)),
  ),
].filter((path) => statSync(path).isFile());
const names = new Set(files.map((path) => basename(path)));
const numbers = new Map(
  Object.entries(SPECIFICATION).map(([page, path]) => [page, chapters(readFileSync(path, 'utf8'))]),
);
const problems: string[] = [];
let checked = 0;

/** `said` at an offset of a file is not there. */
function check(holds: boolean, path: string, text: string, at: number, said: string): void {
  checked++;
  if (!holds) problems.push(`${path}:${lineOf(text, at)}: ${said}`);
}

function fileExists(name: string, from: string): boolean {
  if (!name.includes('/')) return names.has(name) || existsSync(name);
  return (
    existsSync(name) ||
    existsSync(normalize(join(dirname(from), name))) ||
    files.some((path) => path.endsWith(`/${name}`))
  );
}

function checkChapters(path: string, text: string): void {
  for (const { page, chapter, at } of citations(text))
    check(numbers.get(page)?.has(chapter) === true, path, text, at, `${page} has no ${chapter}`);
}

function checkFileNames(path: string, text: string, part: string, start: number): void {
  const made = filesMade(text);
  for (const { name, at } of fileNames(part))
    check(made.has(name) || fileExists(name, path), path, text, start + at, `there is no ${name}`);
}

/** A walk through the code is checked step by step: the file is there, and what it names is declared in it. */
function checkNamesInFiles(path: string, text: string): void {
  for (const { file, name, at } of namesInFiles(prose(text))) {
    const places = files.filter((each) => each === file || each.endsWith(`/${file}`));
    const found = places.filter((place) => declares(readFileSync(place, 'utf8'), name));
    check(found.length > 0, path, text, at, `${file} declares no ${name}`);
    if (found.length < 2) continue;
    problems.push(
      `${path}:${lineOf(text, at)}: ${file}:${name} is one of ${found.sort().join(', ')}`,
    );
  }
}

function checkSource(path: string, text: string): void {
  const all = comments(text);
  const pages = new Set(citations(all[0]?.text ?? '').map(({ page }) => page));
  for (const comment of all) {
    checkFileNames(path, text, comment.text, comment.at);
    for (const { chapter, at } of bareCitations(comment.text)) {
      const known = [...pages].some((page) => numbers.get(page)?.has(chapter));
      const where =
        pages.size > 0
          ? `no chapter of ${[...pages].join(', ')}`
          : 'of no page: none is named at the head';
      check(known, path, text, comment.at + at, `${chapter} is ${where}`);
    }
  }
}

function checkPage(path: string, text: string): void {
  const words = prose(text).replace(/\]\([^)]*\)/g, (target) => ' '.repeat(target.length));
  checkFileNames(path, text, words, 0);
  checkNamesInFiles(path, text);
  for (const { file, anchor, at } of links(text)) {
    const target = file === '' ? path : normalize(join(dirname(path), file));
    check(existsSync(target), path, text, at, `link to ${file} leads nowhere`);
    if (anchor === '' || !target.endsWith('.md') || !existsSync(target)) continue;
    const there = anchors(readFileSync(target, 'utf8')).has(anchor);
    check(there, path, text, at, `${file || 'the page'} has no heading #${anchor}`);
  }
  const page = Object.entries(SPECIFICATION).find(([, at]) => at === path)?.[0] as Page | undefined;
  if (page === undefined) return;
  for (const { chapter, at } of sections(text))
    check(numbers.get(page)?.has(chapter) === true, path, text, at, `the page has no §${chapter}`);
}

for (const path of files) {
  if (PASSED_OVER.test(path) || !(SOURCE.test(path) || path.endsWith('.md'))) continue;
  const text = readFileSync(path, 'utf8');
  checkChapters(path, text);
  if (path.endsWith('.md')) checkPage(path, text);
  else checkSource(path, text);
}
for (const problem of problems) console.error(problem);
console.log(`${checked} citations, file names and links, ${problems.length} problems`);
process.exitCode = problems.length > 0 ? 1 : 0;
