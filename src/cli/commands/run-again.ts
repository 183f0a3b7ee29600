/**
 * `softiommu run-again`, which explore/warm-runs.ts starts: `run` for each order that comes, one after the other, in one process.
 *
 * What a run leaves in its process is a cache of what does not change, such as code, or what the next one begins anew. One that
 * has opened files of the host or loaded plugins, or failed in softiommu itself, is the last.
 */
import { Command } from '@commander-js/extra-typings';
import { KernelThread, run, type RunPlan, type RunResult } from '../../host/launch/run.ts';
import { STATUS_FAILED } from '../../host/sys/exit-status.ts';
import { setCloexec } from '../../host/sys/libc.ts';
import { signalName } from '../../host/sys/signal-name.ts';
import { STDERR, writeAll } from '../../host/sys/write-all.ts';
import { CHANNEL, replyLine, type RunOrder, type RunReply } from '../explore/run-order.ts';
import { complain } from '../output.ts';
import { planRun } from '../run-plan.ts';
import { UserMistake } from '../user-mistake.ts';
import { withUsage } from '../usage.ts';
import { runCommand } from './run.ts';

/** Who gives the orders is gone. */
let isLeft = false;
let isBusy = false;

function serve(): void {
  if (!process.connected) throw new UserMistake('run-again is for softiommu explore');
  // Not for programs.
  setCloexec(CHANNEL, true);
  const thread = new KernelThread(true);
  process.on('message', (order: RunOrder) => void answer(order, thread));
  process.on('disconnect', () => {
    isLeft = true;
    // A run that goes on comes to its end, as one alone.
    if (!isBusy) process.exit();
  });
}
async function answer({ words, mark }: RunOrder, thread: KernelThread): Promise<void> {
  isBusy = true;
  const reply = await replyTo(words, thread);
  isBusy = false;
  // Behind all that was said in the run.
  writeAll(STDERR, replyLine(mark, reply));
  if (reply.isLast || isLeft) process.exit();
}
async function replyTo(words: readonly string[], thread: KernelThread): Promise<RunReply> {
  let reply: RunReply | undefined;
  try {
    const command = runCommand(async (argv, options) => {
      const plan = await planRun(argv, options);
      const result = await run(plan, undefined, thread);
      if (result.kind === 'failed') complain(result.message);
      const isLast = result.kind === 'failed' || !leavesNothing(plan);
      reply = { ...endOf(result), isLast };
    });
    await command.parseAsync(words, { from: 'user' });
  } catch (error) {
    complain(error instanceof Error ? error.message : String(error));
  }
  return reply ?? { status: STATUS_FAILED, signal: null, isLast: true };
}
function leavesNothing({ blockFiles, wireEnds, plugins }: RunPlan): boolean {
  return blockFiles.length + wireEnds.length + plugins.length === 0;
}
function endOf(result: RunResult): Pick<RunReply, 'status' | 'signal'> {
  if (result.kind === 'failed') return { status: STATUS_FAILED, signal: null };
  if (result.kind === 'exit') return { status: result.status, signal: null };
  // cast: it is one of those names
  const signal = (signalName(result.signal) ?? `SIG${result.signal}`) as NodeJS.Signals;
  return { status: null, signal };
}

/** The command `run-again`, which no help tells. */
export function runAgainCommand() {
  return withUsage(new Command('run-again').action(serve));
}
