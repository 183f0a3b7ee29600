/**
 * Trials that several processes share, on several machines: jobs of BullMQ in a Redis or Valkey. Each is a job whose id is the
 * trial, so that it does not matter who adds it, and who makes it says so by its result. A process that dies takes nothing with
 * it: its job is given to another when its lock has run out, and has one result whoever gives it.
 *
 * BullMQ is loaded here only, and is the user's to install.
 */
import { createHash } from 'node:crypto';
import type { ConnectionOptions, Job, Queue, Worker } from 'bullmq';
import { importModule } from '../../host/sys/code-cache.ts';
import { printable } from '../../machine/description/wording.ts';
import { UserMistake } from '../user-mistake.ts';
import { SourceGone, type TrialResult, type TrialSource, type TrialWork } from './trial-source.ts';

/** A job of a process that has died is another's after so long. */
const LOCK_MS = 10_000;
const LOOK_MS = 300;
/** A queue that says nothing for so long is gone. */
const SILENT_MS = 10_000;
/** What was explored longer ago is explored anew: something that no identity tells may have changed. */
const KEPT_MS = 86_400_000;
/** Jobs that are still to be made. */
const PENDING = [
  'waiting',
  'active',
  'delayed',
  'prioritized',
  'paused',
  'waiting-children',
] as const;
/** Results that are read at once. */
const PAGE = 500;

interface TrialJob {
  readonly name: string;
}
type TrialJobs = Queue<TrialJob, TrialResult>;
type BullMq = typeof import('bullmq');

/** Where a queue is, from its address. */
interface Place {
  readonly host: string;
  readonly port: number;
  readonly username?: string;
  readonly password?: string;
  readonly db: number;
  readonly tls?: object;
}

/** The trials of one exploration in a queue. */
export class TrialQueue implements TrialSource {
  readonly #bullmq: BullMq;
  readonly #place: Place;
  readonly #identity: string;
  /** Single failures are one queue, those of two another. */
  #part = 0;
  #reason = 'it does not answer';
  /** Nobody waits for the queue any more: a connection that was lost is not made again. */
  #isOver = false;

  private constructor(bullmq: BullMq, place: Place, identity: string) {
    this.#bullmq = bullmq;
    this.#place = place;
    this.#identity = identity;
  }
  /** `identity`: what all who share these trials have in common. Rejects with UserMistake: no address, no BullMQ. */
  static async open(address: string, identity: readonly string[]): Promise<TrialQueue> {
    const { place, name } = placeOf(address);
    return new TrialQueue(await loadBullMq(), place, JSON.stringify([name, ...identity]));
  }

  /** Rejects with SourceGone. */
  async share(names: readonly string[], work: TrialWork): Promise<void> {
    const id = digest(`${this.#identity} ${++this.#part}`);
    if (names.length === 0) return;
    const { Queue: QueueOf } = this.#bullmq;
    const connection = { ...this.#place, maxRetriesPerRequest: null, retryStrategy: this.#retry };
    this.#isOver = false;
    const queue: TrialJobs = new QueueOf(`softiommu-explore-${id}`, { connection });
    queue.on('error', this.#failing);
    let worker: Worker<TrialJob, TrialResult> | undefined;
    try {
      await this.#forget(queue);
      await this.#answer(queue.addBulk(names.map(jobOf)));
      worker = this.#worker(queue.name, connection, work);
      await this.#untilMade(queue, new Set(names), work);
    } finally {
      this.#isOver = true;
      // Whatever is still being made goes to others; a connection that is gone cannot be closed in peace.
      await within(worker?.close(true), LOOK_MS);
      await within(queue.disconnect(), LOOK_MS);
    }
  }
  readonly #failing = (error: Error): void => {
    this.#reason = printable(error.message || error.name);
  };

  /** Milliseconds to the next try; null: none. */
  readonly #retry = (): number | null => (this.#isOver ? null : LOOK_MS);

  /**
   * What is not to be believed any more: failures, which may pass, and results of long ago. Those of an exploration that is not
   * over yet stay however long it takes: who shares it waits for all of them.
   */
  async #forget(queue: TrialJobs): Promise<void> {
    await this.#answer(queue.clean(0, 0, 'failed'));
    const pending = await this.#answer(queue.getJobCountByTypes(...PENDING));
    if (pending === 0) await this.#answer(queue.clean(KEPT_MS, 0, 'completed'));
  }

  #worker(
    queue: string,
    connection: ConnectionOptions,
    { jobs, make, made }: TrialWork,
  ): Worker<TrialJob, TrialResult> {
    const { Worker: WorkerOf } = this.#bullmq;
    const makeJob = async ({ data: { name } }: Job<TrialJob>): Promise<TrialResult> => {
      const result = await make(name);
      // Stopped on the way: it stays ours until its lock runs out, and then is another's.
      if (!result) return new Promise(() => undefined);
      made(name, result);
      return result;
    };
    const worker = new WorkerOf<TrialJob, TrialResult>(queue, makeJob, {
      connection,
      concurrency: jobs,
      lockDuration: LOCK_MS,
      stalledInterval: LOCK_MS / 2,
      maxStalledCount: Number.MAX_SAFE_INTEGER,
    });
    worker.on('error', this.#failing);
    return worker;
  }
  async #untilMade(queue: TrialJobs, names: Set<string>, work: TrialWork): Promise<void> {
    const wanted = names.size;
    while (!work.isOver()) {
      const counts = await this.#answer(queue.getJobCounts('completed', 'failed'));
      const { completed = 0, failed = 0 } = counts;
      if (failed > 0) throw await this.#failure(queue);
      if (completed >= wanted) await this.#collect(queue, names, work);
      if (names.size === 0) return;
      await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
    }
  }
  /** A program that cannot be run stops all. */
  async #failure(queue: TrialJobs): Promise<UserMistake> {
    const [job] = await this.#answer(queue.getFailed(0, 0));
    return new UserMistake(printable(job?.failedReason ?? 'a trial failed'));
  }
  /** What was made of these names, which it takes away. */
  async #collect(queue: TrialJobs, names: Set<string>, { made }: TrialWork): Promise<void> {
    for (let from = 0; ; from += PAGE) {
      const jobs = await this.#answer(queue.getCompleted(from, from + PAGE - 1));
      for (const { data, returnvalue } of jobs) {
        if (names.delete(data.name)) made(data.name, returnvalue);
      }
      if (jobs.length < PAGE) return;
    }
  }

  /** What the queue answers in time. */
  async #answer<T>(asked: Promise<T>): Promise<T> {
    let timer: NodeJS.Timeout | undefined;
    const silent = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(this.#gone()), SILENT_MS);
    });
    try {
      return await Promise.race([asked.catch((error: unknown) => this.#refused(error)), silent]);
    } finally {
      clearTimeout(timer);
    }
  }
  #refused(error: unknown): never {
    if (error instanceof Error) this.#failing(error);
    throw this.#gone();
  }
  #gone(): SourceGone {
    const { host, port } = this.#place;
    return new SourceGone(`the queue at ${printable(host)}:${port} is gone: ${this.#reason}`);
  }
}

/** What another trial of the same name would be. */
function jobOf(name: string): { name: string; data: TrialJob; opts: object } {
  return { name: 'trial', data: { name }, opts: { jobId: digest(name) } };
}
function digest(text: string): string {
  return createHash('sha256').update(text).digest('hex').slice(0, 32);
}
async function within(done: Promise<unknown> | undefined, ms: number): Promise<void> {
  const late = new Promise((resolve) => setTimeout(resolve, ms).unref());
  await Promise.race([done?.catch(() => undefined), late]);
}

/** 'redis://[USER:PASSWORD@]HOST[:PORT][/DATABASE][#NAME]' */
function placeOf(address: string): { readonly place: Place; readonly name: string } {
  const url = URL.canParse(address) ? new URL(address) : undefined;
  const db = url && /^\/?(\d{0,4})$/.exec(url.pathname)?.[1];
  if (!url || db === undefined || !/^rediss?:$/.test(url.protocol) || url.hostname === '') {
    throw new UserMistake(
      '--queue: it is redis://[USER:PASSWORD@]HOST[:PORT][/DATABASE][#NAME], or rediss:// for TLS',
    );
  }
  const place: Place = {
    host: url.hostname.replace(/^\[(.*)\]$/, '$1'),
    port: Number(url.port || '6379'),
    ...credentialsOf(url),
    db: Number(db || '0'),
    ...(url.protocol === 'rediss:' && { tls: {} }),
  };
  return { place, name: url.hash };
}
function credentialsOf({ username, password }: URL): Pick<Place, 'username' | 'password'> {
  return {
    ...(username !== '' && { username: decodeURIComponent(username) }),
    ...(password !== '' && { password: decodeURIComponent(password) }),
  };
}
async function loadBullMq(): Promise<BullMq> {
  try {
    return (await importModule('bullmq')) as BullMq; // cast: what the package exports
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : undefined;
    if (code !== 'ERR_MODULE_NOT_FOUND') throw error;
    throw new UserMistake('--queue needs BullMQ, which is not installed: npm install bullmq');
  }
}
