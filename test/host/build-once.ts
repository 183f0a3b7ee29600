/**
 * Before the first file of tests that start real processes: the sources built, for `node dist/cli/main.js` starts faster
 * than a loader. Type errors are the type checker's business; only what changed is written again.
 */
import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, readFileSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import ts from 'typescript';
import { CHECKOUT, DIST, PROJECT } from './project.ts';

/** Packages that dist/ loads. */
const RUNTIME = ['@commander-js', '@koromix', 'commander', 'iced-x86', 'koffi', 'yaml', 'zod'];

/** Vitest calls it. */
export function setup(): void {
  if (PROJECT !== CHECKOUT) copyCheckout();
  const sources = readdirSync(join(PROJECT, 'src'), { recursive: true, encoding: 'utf8' });
  const wanted = sources.filter(
    (name) => /(?<!\.test)\.ts$/.test(name) && !/^testing\//.test(name),
  );
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
}

function copyCheckout(): void {
  const parts = ['src', 'examples', 'test/host', 'package.json'];
  const packages = RUNTIME.map((name) => join('node_modules', name));
  for (const part of [...parts, ...packages]) {
    const from = join(CHECKOUT, part);
    if (!statSync(from, { throwIfNoEntry: false })) continue;
    cpSync(from, join(PROJECT, part), { recursive: true, preserveTimestamps: true });
  }
  spawnSync('chmod', ['-R', 'a+rX', PROJECT]);
}
