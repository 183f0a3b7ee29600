/** What a run loads before its program starts: what only a machine file, a trace, registers or an option need comes when these do. */
import { build } from 'esbuild';
import { expect, test } from 'vitest';

const LATER = ['zod', 'yaml', 'iced-x86', '@bufbuild/protobuf/wire', 'preact'];

/** Files of ours that the command itself does not need. */
const LATER_FILES = [
  'src/uapi/',
  'src/base/kernel-traits.ts',
  'src/cli/machine-file.ts',
  'src/cli/user-file.ts',
  'src/insight/sanitizer/suppressions.ts',
  'src/machine/description/backends.ts',
  'src/machine/description/releases.ts',
];

/** What an entry imports before it runs, itself or by what it imports. */
async function closureOf(entry: string): Promise<{ packages: string[]; files: string[] }> {
  const { metafile } = await build({
    entryPoints: [entry],
    ...{ bundle: true, splitting: true, write: false, metafile: true, outdir: 'none' },
    ...{ packages: 'external', format: 'esm', platform: 'node', logLevel: 'silent' },
  });
  const start = Object.keys(metafile.outputs).find(
    (name) => metafile.outputs[name]!.entryPoint === entry,
  )!;
  const seen = new Set<string>();
  const [packages, files] = [new Set<string>(), new Set<string>()];
  const visit = (name: string): void => {
    if (seen.has(name)) return;
    seen.add(name);
    for (const file of Object.keys(metafile.outputs[name]!.inputs)) files.add(file);
    for (const { path, kind, external } of metafile.outputs[name]!.imports) {
      if (kind !== 'import-statement') continue;
      if (external) packages.add(path);
      else visit(path);
    }
  };
  visit(start);
  return { packages: [...packages], files: [...files] };
}

test.for([
  ['src/host/loop/kernel-thread.ts'],
  ['src/host/launch/launcher-main.ts'],
  ['src/host/launch/run.ts'],
  ['src/cli/run-plan.ts'],
  ['src/cli/commands/run.ts'],
  ['src/cli/reports/run-reports.ts'],
  ['src/cli/commands/topology.ts'],
  ['src/machine/machine.ts'],
  ['src/cli/main.ts'],
] as const)('%s', async ([entry]) => {
  const { packages } = await closureOf(entry);
  expect(LATER.filter((name) => packages.includes(name))).toEqual([]);
});

test.for([
  ['src/host/launch/run.ts'],
  ['src/cli/run-plan.ts'],
  ['src/cli/commands/run.ts'],
  ['src/cli/commands/topology.ts'],
  ['src/cli/main.ts'],
] as const)('%s alone', async ([entry]) => {
  const { files } = await closureOf(entry);
  expect(files).toContain(entry);
  expect(files.filter((file) => LATER_FILES.some((later) => file.startsWith(later)))).toEqual([]);
});
