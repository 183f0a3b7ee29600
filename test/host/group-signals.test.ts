/** Signals that reach softiommu as well as its program, or softiommu alone: each comes to the program once, and ends nobody else. */
import { constants } from 'node:os';
import { afterAll, describe, expect, test } from 'vitest';
import { compile, ENVIRONMENTS, startSoftiommu, strayDirectories } from './environments.ts';

const PROGRAM = compile('test/host/programs/group-signals.c');
const { SIGALRM, SIGTERM, SIGXCPU } = constants.signals;
const SENT = [SIGALRM, SIGTERM, SIGXCPU];

afterAll(() => {
  expect(strayDirectories()).toEqual([]);
});

describe.for(ENVIRONMENTS)('$name', (environment) => {
  const it = environment.skip === undefined ? test : test.skip;

  it('what a program sends to its process group comes to it once, and what is sent to softiommu does', async () => {
    const run = startSoftiommu([PROGRAM], { environment, inOwnGroup: true });
    let [said, complained] = ['', ''];
    const ended = new Promise((resolve) => {
      run.on('close', (status, signal) => resolve(signal ?? status));
    });
    run.stderr!.on('data', (text: Buffer) => (complained += text.toString()));
    const toSay = (line: string): Promise<unknown> => {
      const isSaid = new Promise<void>((resolve) => {
        run.stdout!.on('data', () => {
          if (said.includes(line)) resolve();
        });
      });
      return Promise.race([isSaid, ended]);
    };
    run.stdout!.on('data', (text: Buffer) => (said += text.toString()));
    await toSay('sent\n');
    for (const signal of SENT) {
      run.kill(signal);
      await toSay(`signal ${signal}\n`);
    }
    run.kill('SIGUSR2');
    expect([await ended, complained]).toEqual([0, '']);
    expect(said.trimEnd().split('\n')).toEqual([
      'sent',
      ...SENT.map((signal) => `from elsewhere: signal ${signal}`),
      '0 of another count, 0 of another sender',
    ]);
  });
});
