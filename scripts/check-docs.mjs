// The documents are executed: every ```ts block must run, every ```console block's commands must succeed and print what
// stands below them, the generated pages must be fresh, and what comments and pages point at must be there.
// A block is passed over when the line before it says <!-- not run: reason -->. One below <!-- file: NAME --> is written to
// that file, one below <!-- file: NAME: PART --> replaces that part of it, or follows the part before it on the page: so a
// program grows. The commands of a page that has files run where these are.
// `node scripts/check-docs.mjs docs/abi.md …` looks at these pages only. What `npx softiommu` runs is dist/: build first.
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';

const ROOT = resolve(new URL('..', import.meta.url).pathname);
process.chdir(ROOT);
const GENERATED = new Set(['docs/errno.md', 'docs/abi.md', 'docs/kernel-map.md']);
const SCRIPTS = [
  'scripts/check-citations.ts',
  'scripts/list-refusals.mjs',
  'scripts/list-abi.ts',
  'scripts/list-trapped-calls.ts',
  'scripts/gen-machine-file.ts',
  'scripts/gen-trace-schema.ts',
  'scripts/list-kernel-map.ts',
  'scripts/list-devices.ts',
];
const named = process.argv.slice(2);
const allPages = [
  ...readdirSync('.').filter((name) => name.endsWith('.md')),
  ...readdirSync('docs', { recursive: true })
    .filter((name) => name.endsWith('.md') && !name.startsWith('api/'))
    .map((name) => join('docs', name)),
];
const pages = named.length > 0 ? named : allPages;
const problems = [];

function* blocks(text) {
  const pattern = /(?:<!-- (not run|file): ([^\n]*) -->\n\n?)?```(\w+)\n([\s\S]*?)```/g;
  for (const match of text.matchAll(pattern)) {
    const { index: at } = match;
    const [, kind, said, language, body] = match;
    const line = text.slice(0, at).split('\n').length;
    yield { kind, said, language, body, line };
  }
}

/** Where the files of a page are. */
function folderOf(page) {
  return join(ROOT, '.cache/docs', page.replaceAll('/', '_').replace(/\.md$/, ''));
}
/** `files`: the parts of each so far, and which was the last: a new one stands behind it. */
function writeFile(page, { said, body }, files) {
  const folder = folderOf(page);
  if (files.size === 0) rmSync(folder, { recursive: true, force: true });
  const [name, part = ''] = said.split(': ');
  const { parts, last } = files.get(name) ?? { parts: [], last: -1 };
  const known = parts.findIndex((one) => one.part === part);
  const at = known < 0 ? last + 1 : known;
  parts.splice(at, known < 0 ? 0 : 1, { part, body });
  files.set(name, { parts, last: at });
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, name), parts.map((one) => one.body).join('\n'));
}

function runTs(page, { body, line }) {
  const dir = join(ROOT, '.cache/docs');
  mkdirSync(dir, { recursive: true });
  const file = join(dir, `${page.replaceAll('/', '_')}-${line}.mts`);
  writeFileSync(file, body);
  const out = spawnSync('npx', ['tsx', file], { encoding: 'utf8', cwd: ROOT, timeout: 120_000 });
  if (out.status !== 0)
    problems.push(`${page}:${line}: the block fails:\n${out.stderr || out.stdout}`);
  else rmSync(file);
}

/** What terminals take for colours. */
const COLOURS = /\x1b\[[0-9;]*m/g;

/**
 * `$ command`, which goes on in the next line after a `\`; the lines below it must appear in its output in that order,
 * and `…` stands for anything.
 */
function runConsole(page, { body, line }, files) {
  const cwd = files.size > 0 ? folderOf(page) : ROOT;
  const parts = body.split(/^\$ /m).slice(1);
  for (const part of parts) {
    const [command, ...expected] = part.trimEnd().split(/(?<!\\)\n/);
    const out = spawnSync('bash', ['-c', command], {
      encoding: 'utf8',
      cwd,
      timeout: 300_000,
    });
    const printed = (out.stdout + out.stderr).replace(COLOURS, '');
    if (out.status !== 0)
      problems.push(`${page}:${line}: \`${command}\` exits ${out.status}:\n${printed}`);
    let at = 0;
    for (const want of expected.map((text) => text.trim()).filter((text) => text && text !== '…')) {
      const pieces = want
        .split('…')
        .map((text) => text.trim())
        .filter(Boolean);
      for (const piece of pieces) {
        const found = printed.indexOf(piece, at);
        if (found < 0) {
          problems.push(`${page}:${line}: \`${command}\` does not print (in this order): ${piece}`);
          break;
        }
        at = found + piece.length;
      }
    }
  }
}

const RUN = { ts: runTs, console: runConsole };
let ran = 0;
for (const page of pages) {
  const text = readFileSync(page, 'utf8');
  if (GENERATED.has(page)) continue;
  const files = new Map();
  for (const block of blocks(text)) {
    if (block.kind === 'file') writeFile(page, block, files);
    if (block.kind || !RUN[block.language]) continue;
    RUN[block.language](page, block, files);
    ran++;
  }
}
for (const script of named.length > 0 ? [] : SCRIPTS) {
  const runner = script.endsWith('.ts')
    ? ['npx', ['tsx', script, '--check']]
    : ['node', [script, '--check']];
  try {
    execFileSync(runner[0], runner[1], { stdio: ['ignore', 'inherit', 'inherit'] });
  } catch {
    problems.push(`${script} fails`);
  }
}
for (const problem of problems) console.error(problem);
console.log(`${pages.length} pages, ${ran} blocks run, ${problems.length} problems`);
process.exitCode = problems.length > 0 ? 1 : 0;
