/** Programs that a command starts many of: each has a time limit, and all end when the command is stopped. */
import { spawn } from 'node:child_process';

/** What is started, and how. */
export interface ChildStart {
  readonly program: string;
  readonly args: readonly string[];
  readonly limitMs: number;
  readonly env: NodeJS.ProcessEnv;
}
/** What came of it. */
export interface ChildEnd {
  readonly status: number | null;
  readonly signal: NodeJS.Signals | null;
  /** Its time was up. */
  readonly hung: boolean;
  /** The end of its standard error. */
  readonly said: string;
}

/** So long a child that was asked to end may take to. */
const GRACE_MS = 3000;
/** Of what a child says only the end is kept. */
const KEPT = 4096;

/** softiommu itself, as this process was started: from the sources as well. */
export function ownCommand(words: readonly string[], limitMs: number): ChildStart {
  const args = [...process.execArgv, process.argv[1] ?? '', ...words];
  return { program: process.execPath, args, limitMs, env: process.env };
}

/** The children of one command. */
export class Children {
  /** What ends those that go on. */
  readonly #stops = new Set<() => void>();
  readonly #running = new Set<Promise<ChildEnd>>();
  #isOver = false;

  /** No more, and those that go on end. */
  stop(): void {
    this.#isOver = true;
    for (const stop of this.#stops) stop();
  }
  isOver(): boolean {
    return this.#isOver;
  }

  /** Stop them, and wait until none is left. */
  async end(): Promise<void> {
    this.stop();
    await Promise.allSettled(this.#running);
  }

  /** In a process group of its own: what a terminal sends to ours is not for it. */
  run(start: ChildStart): Promise<ChildEnd> {
    const running = this.#start(start);
    this.#running.add(running);
    const over = (): boolean => this.#running.delete(running);
    running.then(over, over);
    return running;
  }
  #start({ program, args, limitMs, env }: ChildStart): Promise<ChildEnd> {
    const child = spawn(program, args, {
      stdio: ['ignore', 'ignore', 'pipe'],
      detached: true,
      env,
    });
    let [hung, said] = [false, ''];
    let last: NodeJS.Timeout | undefined;
    const stop = (): void => {
      child.kill('SIGTERM');
      last ??= setTimeout(() => child.kill('SIGKILL'), GRACE_MS);
    };
    const limit = setTimeout(() => {
      hung = true;
      stop();
    }, limitMs);
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      said = (said + text).slice(-KEPT);
    });
    this.#stops.add(stop);
    return new Promise((resolve, reject) => {
      const over = (): void => {
        clearTimeout(limit);
        clearTimeout(last);
        this.#stops.delete(stop);
      };
      child.on('error', (error) => {
        over();
        reject(error);
      });
      child.on('exit', (status, signal) => {
        over();
        // What it leaves running may hold the pipe open.
        setImmediate(() => {
          child.stderr.destroy();
          resolve({ status, signal, hung, said });
        });
      });
    });
  }
}
