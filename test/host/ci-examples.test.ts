/**
 * The examples of docs/ci.md, run as far as they can be here: their commands are taken out of their files and carried out, with
 * `npm` only written down. A tool that is not there is a reason to skip.
 */
import { spawnSync } from 'node:child_process';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { has } from './environments.ts';
import { CHECKOUT, MAIN, PROJECT } from './project.ts';

const EXAMPLES = join(PROJECT, 'examples');
const root = mkdtempSync(join(tmpdir(), 'ci-examples-'));
afterAll(() => rmSync(root, { recursive: true }));
const npmCalls = join(root, 'npm-calls');
const BIN = join(root, 'bin');
mkdirSync(BIN);
writeFileSync(join(BIN, 'softiommu'), `#!/bin/sh\nexec '${process.execPath}' '${MAIN}' "$@"\n`, {
  mode: 0o755,
});
writeFileSync(join(BIN, 'npm'), `#!/bin/sh\necho "$@" >> '${npmCalls}'\n`, { mode: 0o755 });

/** A folder as a checkout of a user's: with `examples`, and what is built in it. */
function checkout(name: string): string {
  const folder = join(root, name);
  cpSync(EXAMPLES, join(folder, 'examples'), { recursive: true });
  return folder;
}
function sh(script: string, cwd: string, env: Readonly<Record<string, string>> = {}) {
  const { status, stdout, stderr } = spawnSync('bash', ['-e', '-o', 'pipefail', '-c', script], {
    ...{ cwd, encoding: 'utf8', timeout: 500_000 },
    env: { ...process.env, ...env, PATH: `${BIN}:${process.env['PATH']}` },
  });
  return { status, said: stdout + stderr };
}
const good = (script: string, cwd: string, env?: Readonly<Record<string, string>>) => {
  const { status, said } = sh(script, cwd, env);
  expect([status, said]).toEqual([0, said]);
  return said;
};
const yamlOf = (file: string): unknown => parse(readFileSync(file, 'utf8'));
const LONG = { timeout: 600_000 };

interface Step {
  readonly id?: string;
  readonly run?: string;
  readonly uses?: string;
  readonly with?: Readonly<Record<string, string>>;
  readonly env?: Readonly<Record<string, string>>;
}
interface Action {
  readonly inputs: Readonly<
    Record<string, { readonly default?: string; readonly required?: boolean }>
  >;
  readonly outputs: Readonly<Record<string, { readonly value: string }>>;
  readonly runs: { readonly using: string; readonly steps: readonly Step[] };
}
const action = yamlOf(join(CHECKOUT, 'action.yml')) as Action;

/** The steps of the action with what is given to it, as GitHub replaces it. What it has put out. */
function runAction(cwd: string, given: Readonly<Record<string, string>>) {
  const unknown = Object.keys(given).filter((name) => !(name in action.inputs));
  expect(unknown).toEqual([]);
  const output = join(cwd, 'github-output');
  writeFileSync(output, '');
  const env = {
    GITHUB_OUTPUT: output,
    GITHUB_ACTION_PATH: cwd,
    GITHUB_STEP_SUMMARY: `${output}.md`,
  };
  const results = action.runs.steps
    .filter(({ run }) => run !== undefined)
    .map((step) => sh(step.run!, cwd, { ...env, ...inputsOf(step, given) }));
  const pairs = readFileSync(output, 'utf8').trim().split('\n');
  return {
    statuses: results.map(({ status }) => status),
    said: results.map(({ said }) => said).join(''),
    outputs: Object.fromEntries(pairs.map((pair) => pair.split('='))) as Record<string, string>,
    summary: existsSync(`${output}.md`) ? readFileSync(`${output}.md`, 'utf8') : '',
  };
}
function inputsOf({ env = {} }: Step, given: Readonly<Record<string, string>>) {
  const entries = Object.entries(env).map(([name, value]) => {
    const input = /^\$\{\{ inputs\.(\w+) \}\}$/.exec(value)?.[1] ?? '';
    return [name, given[input] ?? action.inputs[input]!.default ?? ''];
  });
  return Object.fromEntries(entries) as Record<string, string>;
}

describe('action.yml', () => {
  test('puts out what it says it does, and puts nothing that is given into a script', () => {
    const folder = checkout('action');
    const { outputs, statuses, summary } = runAction(folder, {
      run: 'echo hello',
      version: '1.2.3',
    });
    expect(statuses).toEqual([0, 0]);
    expect(Object.keys(outputs).sort()).toEqual(Object.keys(action.outputs).sort());
    const { status, ...files } = outputs;
    expect(status).toBe('0');
    for (const file of Object.values(files)) expect(existsSync(join(folder, file))).toBe(true);
    expect(summary).toContain('the program ends well');
    expect(readFileSync(npmCalls, 'utf8')).toContain('install --global softiommu@1.2.3');
    const scripts = action.runs.steps.map(({ run = '' }) => run).join('\n');
    expect(scripts).not.toContain('${{');
  });
  test('fails as the command fails, with its reports', () => {
    const folder = checkout('action-fails');
    const { outputs, statuses } = runAction(folder, { run: 'false\ntouch not-reached' });
    expect([statuses, outputs['status']]).toEqual([[0, 1], '1']);
    expect(existsSync(join(folder, 'not-reached'))).toBe(false);
    expect(readFileSync(join(folder, outputs['junit']!), 'utf8')).toContain('Exit status 1');
  });
  test('hands a machine and options on, also several lines of them', () => {
    const given = { run: 'ls /dev/vfio', machine: 'preset:two-iommus', options: '--wait\nprogram' };
    const { statuses, said } = runAction(checkout('action-options'), given);
    expect(statuses).toEqual([0, 0]);
    expect(said).toMatch(/^0$[^]*^1$/m);
  });
});

/** The environment of a step in each of the jobs that a matrix makes; one job without. */
function matrixValues(
  env: Readonly<Record<string, string>>,
  matrix: Readonly<Record<string, readonly number[]>>,
): Record<string, string>[] {
  const used = /\$\{\{ matrix\.(\w+) \}\}/;
  const [, key] = Object.values(env).flatMap((value) => used.exec(value) ?? []);
  const jobs = key === undefined ? [''] : matrix[key]!.map(String);
  return jobs.map((job) => {
    const filled = Object.entries(env).map(([name, value]) => [name, value.replace(used, job)]);
    return Object.fromEntries(filled) as Record<string, string>;
  });
}

test('GitHub: every step of the workflow', LONG, () => {
  interface Job {
    readonly strategy?: { readonly matrix: Readonly<Record<string, readonly number[]>> };
    readonly steps: readonly Step[];
  }
  const { jobs } = yamlOf(join(EXAMPLES, 'ci/github/workflow.yml')) as {
    jobs: Record<string, Job>;
  };
  expect(Object.keys(jobs)).toEqual(['self-test', 'explore']);
  for (const [name, { steps, strategy }] of Object.entries(jobs)) {
    const cwd = checkout(`github-${name}`);
    for (const { run, uses, env = {}, with: given = {} } of steps) {
      // Every job of a matrix: what only one of them finds must show.
      for (const values of matrixValues(env, strategy?.matrix ?? {}))
        if (run) good(run, cwd, values);
      if (!uses?.startsWith('OWNER/softiommu@')) continue;
      const { statuses, outputs } = runAction(cwd, given);
      expect([statuses, outputs['status']]).toEqual([[0, 0], '0']);
    }
    const outputs = steps.flatMap((step) => [
      ...JSON.stringify(step).matchAll(/steps\.softiommu\.outputs\.(\w+)/g),
    ]);
    for (const [, output] of outputs) expect(Object.keys(action.outputs)).toContain(output);
  }
});

test('GitLab: the script of every job, whose reports are there', LONG, () => {
  interface Job {
    readonly parallel?: number;
    readonly before_script: readonly string[];
    readonly script?: readonly string[];
    readonly artifacts?: {
      readonly paths?: string[];
      readonly reports?: { readonly junit: string };
    };
  }
  const all = yamlOf(join(EXAMPLES, 'ci/gitlab/gitlab-ci.yml')) as Record<string, Job>;
  const { default: common, ...jobs } = all;
  for (const [name, { script, artifacts, parallel }] of Object.entries(jobs)) {
    const cwd = checkout(`gitlab-${name}`);
    // Every one of those that share a job: what only one of them finds must show.
    for (let n = 1; n <= (parallel ?? 1); n++) {
      const node = { CI_NODE_INDEX: String(n), CI_NODE_TOTAL: String(parallel ?? 1) };
      for (const line of [...common!.before_script, ...script!])
        good(line, cwd, parallel ? node : {});
    }
    for (const file of [...(artifacts!.paths ?? []), artifacts!.reports!.junit]) {
      expect(existsSync(join(cwd, file))).toBe(true);
    }
  }
});

test('a container: what it builds and what it starts', () => {
  const lines = readFileSync(join(EXAMPLES, 'ci/container/Containerfile'), 'utf8').split('\n');
  const cwd = checkout('container');
  const steps = lines.flatMap((line) => /^RUN (.*)/.exec(line)?.[1] ?? []);
  expect(steps).toHaveLength(2);
  for (const step of steps) good(step, cwd);
  const command = JSON.parse(lines.find((line) => line.startsWith('CMD '))!.slice(4)) as string[];
  const said = good(command.map((word) => `'${word}'`).join(' '), cwd);
  expect(said).toMatch(/^KTAP version 1$[^]*^# Totals: pass:4 fail:0 .* skip:1 error:0$/m);
});

/** Each in its folder, with the commands that its first lines name. */
const TOOLS: readonly {
  readonly folder: string;
  readonly needs: readonly string[];
  readonly file: string;
  readonly says: RegExp;
}[] = [
  { folder: 'ctest', needs: ['cmake', 'ctest'], file: 'CMakeLists.txt', says: /100% tests passed/ },
  { folder: 'meson', needs: ['meson', 'ninja'], file: 'meson.build', says: /Ok: +1/ },
  { folder: 'pytest', needs: ['python3 -m pytest'], file: 'test_dma.py', says: /2 passed/ },
  { folder: 'cargo', needs: ['cargo'], file: 'src/lib.rs', says: /test result: ok\. 1 passed/ },
];
/** A program of the path, or what a Python starts with -m. */
function runs(tool: string): boolean {
  const [program, ...args] = tool.split(' ');
  return has(program!) && spawnSync(program!, [...args, '--version']).status === 0;
}
describe.each(TOOLS)('$folder', ({ folder, needs, file, says }) => {
  const missing = needs.filter((tool) => !runs(tool));
  const command = (text: string): string => {
    const line = text.split('\n', 3).join('\n');
    const found = /((?:cmake|meson|softiommu run) .*)$/m.exec(line) ?? /`(cargo test)`/.exec(line);
    return found![1]!;
  };
  test.skipIf(missing.length > 0)('its tests are on the machine, and pass', LONG, () => {
    const cwd = join(checkout(folder), 'examples/ci', folder);
    expect(good(command(readFileSync(join(cwd, file), 'utf8')), cwd)).toMatch(says);
  });
  test.skipIf(missing.length > 0)('and fail when memory cannot be mapped', LONG, () => {
    const cwd = join(checkout(`${folder}-failing`), 'examples/ci', folder);
    const failing = join(cwd, 'bin');
    mkdirSync(failing);
    const inject = 'inject=IOMMU_IOAS_MAP,VFIO_IOMMU_MAP_DMA:error=ENOMEM';
    const shim = `#!/bin/sh\nshift\nexec '${BIN}/softiommu' run -e '${inject}' "$@"\n`;
    writeFileSync(join(failing, 'softiommu'), shim, { mode: 0o755 });
    const script = command(readFileSync(join(cwd, file), 'utf8'));
    const { status, said } = sh(`PATH="${failing}:$PATH"; ${script}`, cwd);
    expect(status).not.toBe(0);
    expect(said).not.toMatch(says);
  });
});

test('the page names every example', () => {
  const page = readFileSync(join(CHECKOUT, 'docs/ci.md'), 'utf8');
  for (const folder of readdirSync(join(CHECKOUT, 'examples/ci'))) {
    expect(page).toContain(`examples/ci/${folder}/`);
  }
});
