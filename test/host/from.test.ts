/** Machines made of real ones (`topology --from`): lspci shows there what it showed of the real one. */
import { afterAll, describe, expect, test } from 'vitest';
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PROJECT } from './project.ts';
import { command, ENVIRONMENTS, has, softiommu } from './environments.ts';

const directory = mkdtempSync(join(tmpdir(), 'from-test-'));
chmodSync(directory, 0o755);
afterAll(() => rmSync(directory, { recursive: true, force: true }));

const textOf = (name: string): string => join(PROJECT, `test/machines/${name}.txt`);

/** Of each function that is no bridge: class, ids and revision as one text, and its BARs without their addresses. */
function shown(text: string): Record<string, { ids: string; bars: string[] }> {
  const functions = text.split(/\n(?=\S)/).flatMap((block) => {
    const [title = '', ...details] = block.split('\n');
    const [, at, rest] = /^((?:0000:)?\S+) (.*)$/.exec(title) ?? [];
    if (at === undefined || title.includes('PCI bridge [0604]')) return [];
    const ids =
      rest!.match(/\[[0-9a-f]{4}\]|\[[0-9a-f]{4}:[0-9a-f]{4}\]|\((?:rev|prog-if) ../g) ?? [];
    const own = details.filter((line) => /^\tRegion/.test(line));
    const bars = own.map((line) =>
      line
        .replace(/ at \S+/, '')
        .replace(/ \[(?:disabled|virtual)\]/g, '')
        .trim(),
    );
    return [[at.replace(/^0000:/, ''), { ids: ids.join(' '), bars }] as const];
  });
  return Object.fromEntries(functions);
}

describe.for(ENVIRONMENTS)('$name', (environment) => {
  const it = environment.skip === undefined ? test : test.skip;

  it.for([
    ['laptop', ['00:00.0', '00:02.0', '00:1f.0', '00:1f.4', '02:00.0']],
    ['server', ['00:00.0', '02:00.0', '83:00.0']],
    ['sriov-nic', ['03:00.1']],
  ] as const)('lspci shows ids, classes and BARs of a %s', ([name, generic], { skip }) => {
    skip(!has('lspci'), 'lspci is not installed');
    const machine = join(directory, `${name}.yaml`);
    const made = command(['topology', '--from', textOf(name)]);
    expect(made.stderr).toBe('');
    writeFileSync(machine, made.stdout);
    const run = softiommu(['lspci', '-vvnn'], { environment, flags: ['--machine', machine] });
    expect(run.stderr).toBe('');
    const real = shown(readFileSync(textOf(name), 'utf8'));
    const simulated = shown(run.stdout);
    expect(Object.keys(real)).toEqual(expect.arrayContaining([...generic]));
    for (const at of generic) expect(simulated[at], at).toEqual(real[at]);
  });
});
