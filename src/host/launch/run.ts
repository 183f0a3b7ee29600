/**
 * Running a program on the simulated machine: what the command line asks for, and what came of it.
 *
 * The main thread passes signals on and takes over the program's end; everything else is the kernel thread's.
 */
import { MessageChannel, Worker, type MessagePort } from 'node:worker_threads';
import { Bug } from '../../base/bug.ts';
import { defaultSignal, syscall } from '../sys/ffi.ts';
import type { BlockFile } from './block-files.ts';
import { BlockService, type BlockChannel } from './block-service.ts';
import { becomeSubreaper } from './descendants.ts';
import { GroupSignals } from './group-signals.ts';
import { RunSignals } from './run-signals.ts';
import type { TraceChoice } from '../../insight/trace/choice.ts';
import type { Seen } from '../../insight/ci-reports/seen.ts';
import type { FailReason } from '../../insight/ci-reports/fail-reason.ts';
import type { RunFacts } from '../../insight/report/run-facts.ts';
import type { MachineDescription } from '../../machine/description/description.ts';
import type { LaunchOptions, Wait } from './launcher-order.ts';
import { TurnSign } from './watchdog.ts';
import type { FindingKind } from '../../insight/sanitizer/finding.ts';
import type { Suppression } from '../../insight/sanitizer/suppressions.ts';
import { closeWireEnds, type WireEnd } from './wire-ends.ts';
import { eventfd2 } from '../sys/libc.ts';
import { NR, O_CLOEXEC, O_NONBLOCK, RLIMIT } from '../sys/numbers.ts';
import { STATUS_FAILED } from '../sys/exit-status.ts';
import { programFile, programWithLibrary } from '../sys/package-files.ts';
import { WaitingLines } from '../sys/waiting-lines.ts';

/** How a run is watched by the DMA sanitizer. */
export interface SanitizePlan {
  readonly kinds: readonly FindingKind[];
  readonly suppressions: readonly Omit<Suppression, 'used'>[];
  /** Findings go to this file, with the number of our process behind its name; undefined: to standard error. */
  readonly findings: string | undefined;
  /** Say with each finding the line that suppresses it. */
  readonly generate: boolean;
  /** Status of a run that has one of `failOn`; undefined: the program's. */
  readonly exitcode: number | undefined;
  readonly failOn: readonly FailReason[];
}

export type Explain = 'failed' | 'always' | 'never';

/** What is to be run. */
export interface RunPlan {
  readonly argv: readonly string[];
  /** The machine, as parsed and checked. */
  readonly machine: MachineDescription;
  /** A file, or '-' for standard error. */
  readonly trace: string | undefined;
  /** What of it is shown there, and how. */
  readonly traceChoice: TraceChoice;
  /** An open file to which the trace of a report is written; the kernel thread closes it. */
  readonly reportFd?: number | undefined;
  /** What is noticed is told at the end (EndFacts), for reports. */
  readonly tellsSeen?: boolean;
  /** When what did not work is told at the end: of a program that fails, always, or never. */
  readonly explain: Explain;
  /** How private pages are pinned: by copying them when their mapping goes, or by the host's kernel. */
  readonly pin?: 'copy' | 'exact' | undefined;
  /** RLIMIT_MEMLOCK of the simulated kernel, in bytes; undefined: the host's. */
  readonly memlock?: bigint | undefined;
  /** What is to go wrong, as expressions of -e that were checked. */
  readonly faults: readonly string[];
  /** Undefined: it does not watch. */
  readonly sanitize?: SanitizePlan | undefined;
  readonly launch: LaunchOptions;
  readonly wait: Wait;
  /** Files of plugins. */
  readonly plugins: readonly string[];
  /** Files of block devices, open. */
  readonly blockFiles: readonly BlockFile[];
  /** The host's ends of wires, open. */
  readonly wireEnds: readonly WireEnd[];
}
/** The same for the kernel thread. Plain data: it crosses to the worker. */
export interface KernelPlan extends RunPlan {
  /** What the wait loop is at (watchdog.ts:TurnSign). */
  readonly turn: SharedArrayBuffer;
  /** Which signals programs have sent to groups (group-signals.ts:GroupSignals). */
  readonly groupSignals: SharedArrayBuffer;
  /** The way to the files of block devices; undefined: there are none. */
  readonly blocks: BlockChannel | undefined;
  /** Behind this run comes another, as a message. */
  readonly goesOn: boolean;
}

/** What the kernel thread tells: how far the run is, and at last how the program ended. */
export type RunNews =
  | { readonly kind: 'started'; readonly pid: number; readonly launcher: number }
  /** Others of its run are waited for. */
  | { readonly kind: 'program-ended' }
  /** What a report says of the run. */
  | { readonly kind: 'facts'; readonly facts: EndFacts }
  /** What standard error did not take when it was said. */
  | { readonly kind: 'unsaid'; readonly bytes: Uint8Array }
  | RunResult;
/** What the kernel thread knows at the end. */
export interface EndFacts {
  /** What the page of a report says. */
  readonly page: Required<Pick<RunFacts, 'topology' | 'reserved' | 'explanation'>>;
  readonly seen: readonly Seen[];
  /** How the program ended, whatever the status of the run is made. */
  readonly ended: RunResult;
}
/** How a run ended. */
export type RunResult =
  | { readonly kind: 'exit'; readonly status: number }
  | { readonly kind: 'signal'; readonly signal: number }
  | { readonly kind: 'failed'; readonly message: string };

/** Run a program until it ends. `thread`: of a process that runs one after the other. */
export async function run(
  plan: RunPlan,
  onFacts: (facts: EndFacts) => void = () => undefined,
  thread = new KernelThread(false),
): Promise<RunResult> {
  becomeSubreaper();
  const storage = serveBlocks(plan.blockFiles);
  const result = await runKernel({ plan, blocks: storage?.channel, thread, onFacts });
  await storage?.service.close();
  closeWireEnds(plan.wireEnds);
  return result;
}

/** The main thread works on the files of block devices for the kernel thread. Undefined: there are none. */
function serveBlocks(
  files: readonly BlockFile[],
): { readonly service: BlockService; readonly channel: BlockChannel } | undefined {
  if (files.length === 0) return undefined;
  const { port1, port2 } = new MessageChannel();
  const wakeFd = eventfd2(0, O_CLOEXEC | O_NONBLOCK);
  return {
    service: new BlockService({ files, port: port1, wakeFd }),
    channel: { files, port: port2, wakeFd },
  };
}

/** What of a run the main thread does. */
interface KernelRun {
  readonly plan: RunPlan;
  readonly blocks: BlockChannel | undefined;
  readonly thread: KernelThread;
  readonly onFacts: (facts: EndFacts) => void;
}
function runKernel({ plan, blocks, thread, onFacts }: KernelRun): Promise<RunResult> {
  return new Promise((resolve) => {
    const sign = new TurnSign();
    const lines = new WaitingLines();
    const sent = new GroupSignals();
    const say = (line: string): void => lines.say(`softiommu: ${line}\n`);
    const signals = new RunSignals({ sign, sent, say, end: endBy });
    /** The first of them is what became of the run. */
    const end = (result: RunResult): void => {
      signals[Symbol.dispose]();
      // Who has asked for the end waits for no reader.
      if (!signals.isAsked) lines.finish();
      else lines.retry();
      resolve(result);
    };
    const take = (news: RunNews): void => {
      if (news.kind === 'started') signals.started(news);
      else if (news.kind === 'program-ended') signals.programEnded();
      else if (news.kind === 'facts') onFacts(news.facts);
      else if (news.kind === 'unsaid') lines.say(news.bytes);
      else end(news);
    };
    const shared = { turn: sign.shared, groupSignals: sent.shared };
    thread.follow({ ...plan, ...shared, blocks, goesOn: thread.goesOn }, take);
  });
}

/** The thread that holds the simulated kernel: of one run, or of one after the other, which saves all that loads and warms it. */
export class KernelThread {
  readonly goesOn: boolean;
  #worker: Worker | undefined;
  /** Of the run that goes on. */
  #take: (news: RunNews) => void = () => undefined;

  constructor(goesOn: boolean) {
    this.goesOn = goesOn;
  }
  /** Make a run, the last one being over. `take` is told all of it, and at last how it ended. */
  follow(plan: KernelPlan, take: (news: RunNews) => void): void {
    this.#take = take;
    const transferList = plan.blocks ? [plan.blocks.port] : [];
    if (this.#worker) this.#worker.postMessage(plan, transferList);
    else this.#worker = this.#start(plan, transferList);
  }
  #start(plan: KernelPlan, transferList: MessagePort[]): Worker {
    // With streams of its own the worker keeps Node from opening ours, which would make the program's output non-blocking.
    // All runs of a process have the same plugins.
    const program = plan.plugins.length > 0 ? programWithLibrary : programFile;
    const worker = new Worker(program('host/loop/kernel-thread'), {
      ...{ workerData: plan, transferList },
      ...{ stdout: true, stderr: true },
    });
    worker.on('message', (news: RunNews) => this.#take(news));
    worker.on('exit', () => {
      this.#worker = undefined;
      this.#take({ kind: 'failed', message: 'the kernel thread has ended by itself' });
    });
    worker.on('error', (error) => {
      this.#take({ kind: 'failed', message: `the kernel thread failed: ${error.message}` });
    });
    return worker;
  }
}

/** End this process the way the program ended. */
export function endLike(result: RunResult): never {
  if (result.kind === 'exit') process.exit(result.status);
  if (result.kind === 'failed') process.exit(STATUS_FAILED);
  // No core file of ours beside the program's own.
  syscall(NR.prlimit64, 0, RLIMIT.core, Buffer.alloc(16), 0);
  defaultSignal(result.signal);
  process.kill(process.pid, result.signal);
  // Another thread may be the one to take it.
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 200);
  // process.exit() would wait for the kernel thread, which may be stuck.
  syscall(NR.exit_group, 128 + result.signal);
  throw new Bug('exit_group has returned');
}
function endBy(signal: number): void {
  endLike({ kind: 'signal', signal });
}
