/** Programs that a command starts many of: each has a time limit, and all end when the command is stopped. */
import { spawn, type ChildProcess } from 'node:child_process';

/** What is started, and how. */
export interface ChildProgram {
  readonly program: string;
  readonly args: readonly string[];
  readonly env: NodeJS.ProcessEnv;
  /** It takes messages (ChildProcess.send). */
  readonly takesMessages?: boolean;
}
/** One that ends by itself, or when its time is up. */
export interface ChildStart extends ChildProgram {
  readonly limitMs: number;
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
export function ownProgram(words: readonly string[]): ChildProgram {
  const args = [...process.execArgv, process.argv[1] ?? '', ...words];
  return { program: process.execPath, args, env: process.env };
}
/** The same, with a time limit. */
export function ownCommand(words: readonly string[], limitMs: number): ChildStart {
  return { ...ownProgram(words), limitMs };
}

/** One that runs. */
export class Child {
  /** The end of its standard error. */
  said = '';
  /** Told when it has said something. */
  onSaid: () => void = () => undefined;
  /** Rejects when it could not be started. */
  readonly ended: Promise<Pick<ChildEnd, 'status' | 'signal'>>;
  readonly #process: ChildProcess;
  #last: NodeJS.Timeout | undefined;

  /** In a process group of its own: what a terminal sends to ours is not for it. */
  constructor({ program, args, env, takesMessages = false }: ChildProgram) {
    const child = spawn(program, args, {
      stdio: ['ignore', 'ignore', 'pipe', ...(takesMessages ? ['ipc' as const] : [])],
      detached: true,
      env,
    });
    this.#process = child;
    // Without descriptors there is neither that nor a channel, and an error says so.
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.said = (this.said + text).slice(-KEPT);
      this.onSaid();
    });
    this.ended = new Promise((resolve, reject) => {
      child.on('error', (error) => {
        clearTimeout(this.#last);
        reject(error);
      });
      child.on('exit', (status, signal) => {
        clearTimeout(this.#last);
        // What it leaves running may hold the pipe open.
        setImmediate(() => {
          child.stderr!.destroy();
          resolve({ status, signal });
        });
      });
    });
  }
  /** A message, if it is there to take it. */
  send(message: object): void {
    // That it has ended is told by `ended`.
    if (this.#process.connected) this.#process.send(message, () => undefined);
  }
  /** Ask it to end, and see to it. */
  stop(): void {
    this.#process.kill('SIGTERM');
    this.#last ??= setTimeout(() => this.kill(), GRACE_MS);
  }
  /** End it. */
  kill(): void {
    this.#process.kill('SIGKILL');
  }
}

/** The children of one command. */
export class Children {
  readonly #running = new Map<Child, Promise<unknown>>();
  #isOver = false;

  /** No more, and those that go on end. */
  stop(): void {
    this.#isOver = true;
    for (const child of this.#running.keys()) child.stop();
  }
  isOver(): boolean {
    return this.#isOver;
  }

  /** Stop them, and wait until none is left. */
  async end(): Promise<void> {
    this.stop();
    await Promise.allSettled(this.#running.values());
  }

  /** One that goes on until it is stopped. */
  start(program: ChildProgram): Child {
    const child = new Child(program);
    this.#running.set(child, child.ended);
    const over = (): boolean => this.#running.delete(child);
    child.ended.then(over, over);
    return child;
  }
  /** One, until its end. */
  async run({ limitMs, ...program }: ChildStart): Promise<ChildEnd> {
    const child = this.start(program);
    let hung = false;
    const limit = setTimeout(() => {
      hung = true;
      child.stop();
    }, limitMs);
    try {
      const ended = await child.ended;
      return { ...ended, hung, said: child.said };
    } finally {
      clearTimeout(limit);
    }
  }
}
