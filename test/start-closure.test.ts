/** What a run loads before its program starts: packages that only a machine file, a trace or registers need come when these do. */
import { build } from 'esbuild';
import { expect, test } from 'vitest';

const LATER = ['zod', 'yaml', 'iced-x86', '@bufbuild/protobuf/wire', 'preact'];

/** Packages that an entry imports before it runs, itself or by what it imports. */
async function packagesOf(entry: string): Promise<string[]> {
  const { metafile } = await build({
    entryPoints: [entry],
    ...{ bundle: true, splitting: true, write: false, metafile: true, outdir: 'none' },
    ...{ packages: 'external', format: 'esm', platform: 'node', logLevel: 'silent' },
  });
  const start = Object.keys(metafile.outputs).find(
    (name) => metafile.outputs[name]!.entryPoint === entry,
  )!;
  const seen = new Set<string>();
  const packages = new Set<string>();
  const visit = (name: string): void => {
    if (seen.has(name)) return;
    seen.add(name);
    for (const { path, kind, external } of metafile.outputs[name]!.imports) {
      if (kind !== 'import-statement') continue;
      if (external) packages.add(path);
      else visit(path);
    }
  };
  visit(start);
  return [...packages];
}

test.for([
  ['src/host/loop/kernel-thread.ts'],
  ['src/host/launch/launcher-main.ts'],
  ['src/host/launch/run.ts'],
  ['src/cli/run-plan.ts'],
  ['src/cli/commands/run.ts'],
  ['src/cli/reports/run-reports.ts'],
  ['src/cli/main.ts'],
] as const)('%s', async ([entry]) => {
  const packages = await packagesOf(entry);
  expect(LATER.filter((name) => packages.includes(name))).toEqual([]);
});
