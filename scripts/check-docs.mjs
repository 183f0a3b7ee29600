// The documents are executed: every ```ts block must run, every ```console block's commands must succeed and print what
// stands below them, the generated pages must be fresh, and what comments and pages point at must be there.
// A block is passed over when the line before it says <!-- not run: reason -->.
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
  const pattern = /(?:<!-- not run: ([^\n]*) -->\n)?```(\w+)\n([\s\S]*?)```/g;
  for (const match of text.matchAll(pattern)) {
    const line = text.slice(0, match.index).split('\n').length;
    yield { skip: match[1], language: match[2], body: match[3], line };
  }
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

/**
 * `$ command`, which goes on in the next line after a `\`; the lines below it must appear in its output in that order,
 * and `…` stands for anything.
 */
function runConsole(page, { body, line }) {
  const parts = body.split(/^\$ /m).slice(1);
  for (const part of parts) {
    const [command, ...expected] = part.trimEnd().split(/(?<!\\)\n/);
    const out = spawnSync('bash', ['-c', command], {
      encoding: 'utf8',
      cwd: ROOT,
      timeout: 300_000,
    });
    const printed = out.stdout + out.stderr;
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
  for (const block of blocks(text)) {
    if (block.skip || !RUN[block.language]) continue;
    RUN[block.language](page, block);
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
