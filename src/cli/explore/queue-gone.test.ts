/** A queue that goes away: who shared it says so, and keeps what was found until then. */
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import type { EndedRun } from '../../insight/explore/judge.ts';
import { explore, type CampaignOptions } from './campaign.ts';
import type { DisturbedRuns } from './disturbed-run.ts';
import { TrialQueue } from './trial-queue.ts';
import { SourceGone, type TrialResult, type TrialSource } from './trial-source.ts';

const server = vi.hoisted(() => ({ isThere: true, error: undefined as string | undefined }));
vi.mock('bullmq', () => {
  const answer = <T>(value: T): Promise<T> =>
    server.isThere ? Promise.resolve(value) : new Promise(() => undefined);
  class Queue {
    readonly name = 'q';
    on(_event: string, listener: (error: Error) => void) {
      if (server.error !== undefined) listener(new Error(server.error));
    }
    clean = () => answer([]);
    getJobCountByTypes = () => answer(0);
    addBulk = () => answer([]);
    getJobCounts = () => answer({ completed: 0, failed: 0 });
    disconnect = () => answer(undefined);
  }
  class Worker {
    on = () => this;
    close = () => answer(undefined);
  }
  return { Queue, Worker };
});

beforeEach(() => {
  vi.useFakeTimers();
  Object.assign(server, { isThere: true, error: undefined });
});
afterEach(() => {
  vi.useRealTimers();
});

const WORK = {
  jobs: 1,
  make: () => Promise.resolve(undefined),
  made: () => undefined,
  isOver: () => false,
};
test('one that answers no more is given up after some seconds, with its address and the last reason', async () => {
  server.error = 'connect ECONNREFUSED';
  const queue = await TrialQueue.open('redis://here:7', ['prog']);
  const shared = queue.share(['a'], WORK).catch((error: unknown) => error);
  await vi.advanceTimersByTimeAsync(5000);
  server.isThere = false;
  await vi.advanceTimersByTimeAsync(30_000);
  const error = await shared;
  expect(error).toBeInstanceOf(SourceGone);
  expect(String(error)).toContain('the queue at here:7 is gone: connect ECONNREFUSED');
});

/** A program of two calls, whatever goes wrong. */
const ENDED: EndedRun = {
  ...{ status: 0, signal: undefined, hung: false, check: undefined, sanitizer: [] },
  record: {
    calls: ['openat', 'mmap'].map((name) => ({ name, nth: 1 })),
    ...{ left: [], faults: 0, devices: new Map() },
  },
};
test('an exploration whose queue is gone has what was found, and says what was not tried', async () => {
  // cast: all that is used of them
  const runs = { run: () => Promise.resolve(ENDED), isOver: () => false } as unknown;
  const kept: TrialResult[] = [];
  const source: TrialSource = {
    async share([first = ''], { make, made }) {
      const result = await make(first);
      if (result) made(first, result);
      throw new SourceGone('the queue is gone: somebody has cut the wire');
    },
  };
  const options: CampaignOptions = {
    ...{ depth: 2, jobs: 1, source, timeLimitMs: 1, known: [] },
    failures: { kinds: ['calls'], lawful: () => ['EIO', 'ENODEV'] },
    shard: { index: 0, total: 1 },
    onResult: (result) => kept.push(result),
    onProgress: () => undefined,
  };
  const end = await explore(runs as DisturbedRuns, options);
  expect(end).toMatchObject({
    ...{ calls: 2, left: 3, gone: 'the queue is gone: somebody has cut the wire' },
    results: [{ expressions: ['inject=openat:error=EIO:per=run:when=1'] }],
  });
  expect(kept).toEqual(end.results);
});
