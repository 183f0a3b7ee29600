/** One process that makes one run after the other: each run is what it is alone, and none leaves anything to the next. */
import { spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { replyIn } from '../../src/cli/explore/run-order.ts';
import { command, compile, softiommu } from './environments.ts';
import { MAIN } from './project.ts';

const folder = mkdtempSync(join(tmpdir(), 'warm-runs-'));
afterAll(() => rmSync(folder, { recursive: true }));

/** A process for many runs. */
function startServer() {
  const child = spawn(process.execPath, [MAIN, 'run-again'], {
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
  });
  const ended = new Promise<number | null>((resolve) => child.once('exit', resolve));
  let [said, orders] = ['', 0];
  let look = (): void => undefined;
  child.stdout!.resume();
  child.stderr!.setEncoding('utf8').on('data', (text: string) => {
    said += text;
    look();
  });
  return {
    ended,
    end: () => child.disconnect(),
    descriptors: () => readdirSync(`/proc/${child.pid}/fd`).length,
    run: async (...words: string[]) => {
      said = '';
      const mark = `mark-${++orders}:`;
      child.send({ words: ['--explain', 'never', ...words], mark });
      const found = await new Promise<NonNullable<ReturnType<typeof replyIn>>>((resolve) => {
        look = () => {
          const reply = replyIn(said, mark);
          if (reply) resolve(reply);
        };
      });
      return { ...found.reply, said: found.said };
    },
  };
}

test('a program finds the descriptors it would find alone, and the process keeps none', async () => {
  const server = startServer();
  const files = [`--trace=${join(folder, 'trace.jsonl')}`, '--findings', join(folder, 'findings')];
  const programs = [['ls', '/proc/self/fd'], [compile('examples/edu-dma.c')]];
  const counts: number[] = [];
  for (let n = 0; n < 8; n++) {
    const ran = await server.run('--sanitize', ...files, '--', ...programs[n % 2]!);
    expect(ran).toMatchObject({ status: 0, signal: null, isLast: false, said: '' });
    counts.push(server.descriptors());
  }
  // After the same program, for they need not have the same open.
  expect(counts.slice(6)).toEqual(counts.slice(2, 4));
  const file = join(folder, 'fds');
  const kept = ['--', 'sh', '-c', `ls /proc/self/fd > ${file}`];
  await server.run(...kept);
  const again = readFileSync(file, 'utf8');
  softiommu(kept.slice(1));
  expect(again).toBe(readFileSync(file, 'utf8'));
  server.end();
  expect(await server.ended).toBe(0);
});
test('ends of all kinds are told, and the next run is none the worse', async () => {
  const server = startServer();
  expect(await server.run('--', 'sh', '-c', 'exit 3')).toMatchObject({ status: 3, isLast: false });
  expect(await server.run('--', 'sh', '-c', 'kill -ABRT $$')).toMatchObject({ signal: 'SIGABRT' });
  expect(await server.run('--', '/no/such/program')).toMatchObject({ status: 127, isLast: false });
  const refused = await server.run('-e', 'inject=IOMMU_IOAS_ALLOC:error=ENOMEM', '--', 'true');
  expect(refused).toMatchObject({ status: 0 });
  expect(await server.run('-e', 'inject=what', '--', 'true')).toMatchObject({
    ...{ status: 125, isLast: true },
    said: expect.stringMatching(/^softiommu: .*what/) as string,
  });
  expect(await server.ended).toBe(0);
});
test('a run with files of the host open is the last one', async () => {
  const server = startServer();
  const disk = join(folder, 'disk');
  writeFileSync(disk, Buffer.alloc(2 ** 20));
  const flags = ['--block', `disk,file=${disk}`, '--device', 'nvme,drives=disk'];
  expect(await server.run(...flags, '--', 'true')).toMatchObject({ status: 0, isLast: true });
  expect(await server.ended).toBe(0);
});
test('nobody but explore starts it', () => {
  const { stderr, status } = command(['run-again']);
  expect([stderr, status]).toEqual(['softiommu: run-again is for softiommu explore\n', 125]);
});

describe('the slow twin, a process for each run, finds the same of', () => {
  const trials = (name: string, warm: string, words: readonly string[]) => {
    const at = join(folder, `${name}-${warm}`);
    const { stdout, stderr } = command(['explore', '--jobs', '2', '--resume', at, ...words], {
      ...{ env: { SOFTIOMMU_WARM: warm }, timeout: 300_000 },
    });
    const lines = readFileSync(join(at, 'results.jsonl'), 'utf8').trimEnd().split('\n');
    return { stdout, stderr, lines: lines.sort() };
  };
  test.for([
    ['teardown-order', 'left'],
    ['short-unmap', 'crash'],
    ['double-completion', 'crash'],
  ] as const)('%s', { timeout: 600_000 }, ([name, kind]) => {
    const words = ['--', compile(`examples/buggy/explore/${name}.c`)];
    const warm = trials(name, '1', words);
    expect(warm).toEqual(trials(name, '0', words));
    expect(warm.stdout).toContain(`1. ${kind}: `);
  });
  test('a program that hangs', { timeout: 600_000 }, () => {
    const words = ['--time-limit', '4', '--', 'sh', '-c', '(: < /dev/iommu) || sleep 1000'];
    const warm = trials('hang', '1', words);
    expect(warm).toEqual(trials('hang', '0', words));
    expect(warm.stdout).toContain('1. hang: it does not end when openat fails');
  });
});
