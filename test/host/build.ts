/**
 * Builds the sources once for tests that start real processes: `node dist/cli/main.js` starts faster than a loader.
 * Type errors are the type checker's business; only what changed is written again.
 */
import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, readFileSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import ts from 'typescript';

/** Packages that dist/ loads. */
const RUNTIME = ['@commander-js', '@koromix', 'commander', 'iced-x86', 'koffi', 'yaml', 'zod'];

const CHECKOUT = join(import.meta.dirname, '../..');
/** What programs under test are run from: the checkout, or a copy where other users cannot enter it. */
export const PROJECT = everybodyMayEnter(CHECKOUT) ? CHECKOUT : readableCopy();
export const DIST = join(PROJECT, '.cache/dist');

export function buildDist(): string {
  const sources = readdirSync(join(PROJECT, 'src'), { recursive: true, encoding: 'utf8' });
  const wanted = sources.filter((name) => name.endsWith('.ts') && !name.endsWith('.test.ts'));
  for (const name of wanted) {
    const from = join(PROJECT, 'src', name);
    const to = join(DIST, name.replace(/\.ts$/, '.js'));
    const built = statSync(to, { throwIfNoEntry: false });
    if (built && built.mtimeMs >= statSync(from).mtimeMs) continue;
    mkdirSync(dirname(to), { recursive: true });
    const { outputText } = ts.transpileModule(readFileSync(from, 'utf8'), {
      fileName: from,
      compilerOptions: {
        module: ts.ModuleKind.ESNext,
        target: ts.ScriptTarget.ES2022,
        rewriteRelativeImportExtensions: true,
        verbatimModuleSyntax: true,
      },
    });
    writeFileSync(to, outputText);
  }
  writeFileSync(join(DIST, 'package.json'), '{"type":"module"}');
  return DIST;
}

function everybodyMayEnter(dir: string): boolean {
  const above = dirname(dir);
  return (statSync(dir).mode & 0o005) === 0o005 && (above === dir || everybodyMayEnter(above));
}

function readableCopy(): string {
  const copy = join(tmpdir(), `checkout-${statSync(CHECKOUT).ino}-of-softiommu`);
  const parts = ['src', 'examples', 'test/host', 'package.json'];
  const packages = RUNTIME.map((name) => join('node_modules', name));
  for (const part of [...parts, ...packages]) {
    const from = join(CHECKOUT, part);
    if (!statSync(from, { throwIfNoEntry: false })) continue;
    cpSync(from, join(copy, part), { recursive: true, preserveTimestamps: true });
  }
  spawnSync('chmod', ['-R', 'a+rX', copy]);
  return copy;
}
