/**
 * `softiommu run` many times, in few processes that make one run after the other (commands/run-again.ts). A run by
 * itself is 0.58 s of CPU, nearly all of it the start; one in a process that is warm 0.17 s, most of it the launcher.
 *
 * Slow twin: `SOFTIOMMU_WARM=0` in the environment starts a process for each run; both find the same.
 */
import { randomUUID } from 'node:crypto';
import { ownCommand, ownProgram, type Child, type ChildEnd, type Children } from '../children.ts';
import { replyIn } from './run-order.ts';

/** Runs of one command. */
export class WarmRuns {
  readonly #children: Children;
  readonly #isWarm = process.env['SOFTIOMMU_WARM'] !== '0';
  /** Processes that wait for an order. */
  readonly #idle: Child[] = [];

  constructor(children: Children) {
    this.#children = children;
  }

  /** Run once; `words`: what stands behind `run`. */
  async run(words: readonly string[], limitMs: number): Promise<ChildEnd> {
    if (!this.#isWarm) return this.#children.run(ownCommand(['run', ...words], limitMs));
    const server = this.#idle.pop() ?? this.#start();
    const limit = { isOver: false };
    const timer = setTimeout(() => {
      limit.isOver = true;
      server.stop();
    }, limitMs);
    const { isLast = true, ...ended } = await replyOf(server, words);
    clearTimeout(timer);
    // One that was asked to end is none to go on with.
    if (limit.isOver) server.kill();
    else if (!isLast) this.#idle.push(server);
    return { ...ended, hung: limit.isOver };
  }
  #start(): Child {
    return this.#children.start({ ...ownProgram(['run-again']), takesMessages: true });
  }
}

/** The end of a run; without `isLast`: of the process, before it could say how the run ended. */
async function replyOf(
  server: Child,
  words: readonly string[],
): Promise<Omit<ChildEnd, 'hung'> & { isLast?: boolean }> {
  const mark = randomUUID();
  server.said = '';
  const replied = new Promise<Omit<ChildEnd, 'hung'> & { isLast: boolean }>((resolve) => {
    server.onSaid = () => {
      const found = replyIn(server.said, mark);
      if (found) resolve({ ...found.reply, said: found.said });
    };
  });
  server.send({ words, mark });
  const died = server.ended.then((ended) => ({ ...ended, said: server.said }));
  return Promise.race([replied, died]);
}
