/**
 * Builds the sources once for tests that start real processes: `node dist/cli/main.js` starts faster than a loader.
 * Type errors are the type checker's business; only what changed is written again.
 */
import { mkdirSync, readFileSync, readdirSync, statSync, writeFileSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import ts from 'typescript';

export const PROJECT = join(import.meta.dirname, '../..');
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

/** For a run from nothing. */
export function cleanDist(): void {
  rmSync(DIST, { recursive: true, force: true });
}
