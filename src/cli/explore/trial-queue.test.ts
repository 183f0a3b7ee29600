/** What an exploration finds in a queue that others have used before it, in a double of BullMQ that keeps its jobs here. */
import { beforeEach, expect, test, vi } from 'vitest';
import { TrialQueue } from './trial-queue.ts';

interface DoubleJob {
  readonly data: { readonly name: string };
  state: 'waiting' | 'completed' | 'failed';
  endedAt: number;
  returnvalue?: unknown;
  failedReason?: string;
}
const { queues, jobsOf } = vi.hoisted(() => {
  const all = new Map<string, Map<string, DoubleJob>>();
  const of = (name: string) => {
    const jobs = all.get(name) ?? new Map<string, DoubleJob>();
    all.set(name, jobs);
    return jobs;
  };
  return { queues: all, jobsOf: of };
});

vi.mock('bullmq', () => {
  class Queue {
    readonly name: string;
    constructor(name: string) {
      this.name = name;
    }
    #in(...states: string[]) {
      return [...jobsOf(this.name).values()].filter(({ state }) => states.includes(state));
    }
    on = () => this;
    disconnect = () => Promise.resolve();
    /** An id that is there is not added again, whatever has become of it. */
    addBulk(added: { data: { name: string }; opts: { jobId: string } }[]) {
      const jobs = jobsOf(this.name);
      for (const { data, opts } of added) {
        if (!jobs.has(opts.jobId)) jobs.set(opts.jobId, { data, state: 'waiting', endedAt: 0 });
      }
      return Promise.resolve();
    }
    clean(grace: number, _limit: number, type: string) {
      const jobs = jobsOf(this.name);
      for (const [id, { state, endedAt }] of jobs) {
        if (state === type && endedAt <= Date.now() - grace) jobs.delete(id);
      }
      return Promise.resolve();
    }
    getJobCountByTypes = (...types: string[]) => Promise.resolve(this.#in(...types).length);
    getJobCounts(...types: string[]) {
      return Promise.resolve(Object.fromEntries(types.map((t) => [t, this.#in(t).length])));
    }
    getFailed = () => Promise.resolve(this.#in('failed'));
    getCompleted = (from: number, to: number) =>
      Promise.resolve(this.#in('completed').slice(from, to + 1));
  }
  class Worker {
    #isOver = false;
    constructor(queue: string, make: (job: DoubleJob) => Promise<unknown>) {
      void this.#work(jobsOf(queue), make);
    }
    on = () => this;
    close() {
      this.#isOver = true;
      return Promise.resolve();
    }
    async #work(jobs: Map<string, DoubleJob>, make: (job: DoubleJob) => Promise<unknown>) {
      for (const job of jobs.values()) {
        if (this.#isOver || job.state !== 'waiting') continue;
        try {
          job.returnvalue = await make(job);
          job.state = 'completed';
        } catch (error) {
          job.state = 'failed';
          job.failedReason = String(error);
        }
        job.endedAt = Date.now();
      }
    }
  }
  return { Queue, Worker };
});

beforeEach(() => queues.clear());

/** Share these names as one exploration does: what it was given to make, and what it was told of. */
async function share(names: readonly string[], fails = false) {
  const queue = await TrialQueue.open('redis://here', ['prog']);
  const [asked, told]: [string[], string[]] = [[], []];
  await queue.share(names, {
    jobs: 1,
    make: (name) => {
      asked.push(name);
      if (fails) return Promise.reject(new Error('no memory'));
      return Promise.resolve({ expressions: [name] });
    },
    made: (name) => told.push(name),
    isOver: () => false,
  });
  return { asked, told: [...new Set(told)].sort() };
}
const age = (name: string, ms: number) => {
  for (const jobs of queues.values()) {
    for (const job of jobs.values()) if (job.data.name === name) job.endedAt -= ms;
  }
};
const DAY = 86_400_000;

test('what others have made is told and not made again', async () => {
  await share(['a', 'b']);
  expect(await share(['a', 'b'])).toEqual({ asked: [], told: ['a', 'b'] });
});
test('a failure that has passed does not end the next exploration', async () => {
  await expect(share(['a', 'b'], true)).rejects.toThrow('no memory');
  expect(await share(['a', 'b'])).toEqual({ asked: ['a', 'b'], told: ['a', 'b'] });
});
test('what was explored more than a day ago is explored anew', async () => {
  await share(['a', 'b']);
  age('a', DAY + 1);
  expect(await share(['a', 'b'])).toEqual({ asked: ['a'], told: ['a', 'b'] });
});
test('an exploration that is not over after a day loses nothing', async () => {
  await share(['a', 'b']);
  age('a', DAY + 1);
  for (const jobs of queues.values())
    for (const job of jobs.values()) {
      if (job.data.name === 'b') job.state = 'waiting';
    }
  expect(await share(['a', 'b'])).toEqual({ asked: ['b'], told: ['a', 'b'] });
});
