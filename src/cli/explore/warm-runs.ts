/**
 * `softiommu run` many times, in few processes that make one run after the other (commands/run-again.ts). A run by
 * itself is 0.23 s of CPU, nearly all of it the start; one in a process that is warm 0.05 s.
 *
 * Slow twin: `SOFTIOMMU_WARM=0` in the environment starts a process for each run; both find the same.
 */
import { randomUUID } from 'node:crypto';
import { STATUS_FAILED } from '../../host/sys/exit-status.ts';
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
    const warm = this.#idle.pop();
    const ended = warm && (await this.#runIn(warm, words, limitMs));
    // One that somebody has killed meanwhile says nothing of this run; we do when all is stopped.
    if (ended && (!isLost(ended) || this.#children.isOver())) return ended;
    const again = await this.#runIn(this.#start(), words, limitMs);
    return isLost(again) ? failed(again) : again;
  }
  async #runIn(server: Child, words: readonly string[], limitMs: number): Promise<RunEnd> {
    const limit = { isOver: false };
    const timer = setTimeout(() => {
      limit.isOver = true;
      server.stop();
    }, limitMs);
    const ended = await replyOf(server, words).finally(() => clearTimeout(timer));
    // One that was asked to end is none to go on with.
    if (limit.isOver) server.kill();
    else if (ended.isLast === false) this.#idle.push(server);
    return { ...ended, hung: limit.isOver };
  }
  #start(): Child {
    return this.#children.start({ ...ownProgram(['run-again']), takesMessages: true });
  }
}

/** The end of a run; without `isLast`: of the process, before it could say how the run ended. */
interface RunEnd extends ChildEnd {
  readonly isLast?: boolean;
}
function isLost({ isLast, hung }: RunEnd): boolean {
  return isLast === undefined && !hung;
}
/** As softiommu itself says that it could not run something, which no program is to blame for. */
function failed({ said, signal, status }: RunEnd): ChildEnd {
  const own = `softiommu: the process of a run has ended by itself (${signal ?? status})\n`;
  const isSaid = status === STATUS_FAILED && said.startsWith('softiommu: ');
  return { status: STATUS_FAILED, signal: null, hung: false, said: isSaid ? said : own };
}

async function replyOf(server: Child, words: readonly string[]): Promise<Omit<RunEnd, 'hung'>> {
  const mark = randomUUID();
  server.said = '';
  const replied = new Promise<Omit<RunEnd, 'hung'>>((resolve) => {
    server.onSaid = () => {
      const found = replyIn(server.said, mark);
      if (!found) return;
      server.onSaid = () => undefined;
      resolve({ ...found.reply, said: found.said });
    };
  });
  server.send({ words, mark });
  const died = server.ended.then((ended) => ({ ...ended, said: server.said }));
  return Promise.race([replied, died]);
}
