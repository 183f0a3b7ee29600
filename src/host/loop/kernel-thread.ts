/**
 * The worker that holds the whole simulated kernel. The main thread keeps the command line and signals.
 *
 * Programs are started from here, because only the thread that seized a program may steer it.
 */
import { parentPort, workerData } from 'node:worker_threads';
import { TroubleJournal } from '../../insight/explain/journal.ts';
import type { CallSites } from '../../insight/sites/call-site.ts';
import { reservedFacts } from '../../insight/report/reserved-facts.ts';
import { explanation } from '../../insight/explain/report.ts';
import { seenTroubles, type Seen } from '../../insight/ci-reports/seen.ts';
import { describeTree } from '../../insight/views/tree.ts';
import { openRings } from '../process/exact-pins.ts';
import { tellExit } from '../process/tell-signals.ts';
import { HostError } from '../sys/ffi.ts';
import { shortageOf } from '../sys/shortage.ts';
import { STATUS_FAILED } from '../sys/exit-status.ts';
import { sayNow } from '../sys/waiting-lines.ts';
import { MmioTraps } from '../mmio/mmio-traps.ts';
import { Listener } from '../seccomp/listener.ts';
import type { HostCallSites } from '../stacks/host-call-sites.ts';
import { callLook } from '../process/call-look.ts';
import { slowPages } from '../process/slow-pages.ts';
import { preparePromptSeize } from '../sys/prompt-seize.ts';
import { prepareSteps } from '../sys/steps.ts';
import { KernelLoop } from './kernel-loop.ts';
import { launch } from '../launch/launch.ts';
import { notRunLine, whyNotRun } from '../launch/not-run.ts';
import { type KernelPlan, type RunNews, type RunResult, type SanitizePlan } from '../launch/run.ts';
import { GroupSignals } from '../launch/group-signals.ts';
import { TurnSign } from '../launch/watchdog.ts';
import type { HardwareTypes } from '../../machine/description/entries.ts';
import { KNOWN_TYPES, type Machine } from '../../machine/machine.ts';
import { BlockDisks } from './block-disks.ts';
import { HostWires } from './host-wires.ts';
import type { RunFaults } from './run-faults.ts';
import { buildMachine } from './run-machine.ts';
import type { TraceTarget } from './trace-files.ts';
import { tracesOf } from './trace-targets.ts';
import type { KeptOrigins } from '../../insight/sanitizer/kept-origins.ts';
import type { SanitizedRun, Sanitizing } from './sanitizing.ts';
import { NamespaceTree } from '../tree/namespace-tree.ts';
import { PathTrapTree } from '../tree/tree-backend.ts';

/** To nobody, where standard error cannot be written: the program goes on. */
function warn(text: string): void {
  say(`softiommu: ${text}\n`);
}
/** The main thread has lines of ours that standard error does not take yet: those after them go there too. */
let isBehind = false;
/** In one piece, where that is possible: others may write to the same place. */
function say(text: string): void {
  const bytes = Buffer.from(text);
  const rest = isBehind ? bytes : sayNow(bytes);
  if (!rest) return;
  isBehind = true;
  tell({ kind: 'unsaid', bytes: Uint8Array.from(rest) });
}

/** For tests, in the environment: `SOFTIOMMU_STEPS=0` makes each system call by itself, the measure of what lists of them do. */
const inSteps = process.env['SOFTIOMMU_STEPS'] !== '0';

/** What of the host the devices of a run use. */
interface Outside {
  readonly storage: BlockDisks | undefined;
  readonly wires: HostWires | undefined;
  readonly sites: HostCallSites;
}

/** What a run wants besides its program, loaded where it does. */
interface Wanted {
  readonly traces: readonly TraceTarget[];
  readonly faults: RunFaults | undefined;
  readonly sanitize: (run: Omit<SanitizedRun, 'say'>) => Pick<Sanitizing, 'end' | 'seen'>;
  /** Where mappings come from is kept. */
  readonly keepOrigins: ((sites: CallSites) => KeptOrigins) | undefined;
}

function main(
  plan: KernelPlan,
  types: HardwareTypes,
  { traces, faults, sanitize, keepOrigins }: Wanted,
): RunResult {
  const storage = plan.blocks && new BlockDisks(plan.blocks);
  const wires = plan.wireEnds.length > 0 ? new HostWires(plan.wireEnds, warn) : undefined;
  const built = buildMachine(plan.machine, {
    warn,
    types,
    disks: storage?.disks ?? new Map(),
    wires: wires?.wires ?? new Map(),
    traces,
    faults: faults?.policies,
  });
  const { sites } = built;
  const journal = startJournal(plan, built.machine, { sites, keepOrigins });
  const sanitizing = sanitize({ machine: built.machine, sites });
  let result: RunResult;
  let traced = true;
  try {
    result = runProgram(plan, built.machine, { storage, wires, sites });
  } finally {
    traced = built.close();
    sites.close();
    wires?.close();
  }
  journal.explain(result);
  faults?.report();
  const judged = sanitizing.end(result);
  journal.tellFacts(result, sanitizing.seen);
  return traced ? judged : withoutTrace(judged);
}

/** What is said at the end of what did not work. */
interface RunJournal {
  /** To people. */
  explain(result: RunResult): void;
  /** To reports; `found`: by the sanitizer. */
  tellFacts(ended: RunResult, found: readonly Seen[]): void;
}
const UNTOLD: RunJournal = { explain: () => undefined, tellFacts: () => undefined };
/** What does not work is remembered from the start, where anybody wants to know. */
function startJournal(
  plan: KernelPlan,
  machine: Machine,
  { sites, keepOrigins }: Pick<Wanted, 'keepOrigins'> & { readonly sites: CallSites },
): RunJournal {
  const { explain: when } = plan;
  const isReported = plan.reportFd !== undefined || plan.tellsSeen === true;
  if (when === 'never' && !isReported) return UNTOLD;
  const origins = keepOrigins?.(sites);
  if (origins) machine.env.trace.listenTo(origins.choice, origins.take);
  const journal = new TroubleJournal(machine, sites, origins);
  machine.env.trace.listenToTroubles(journal.take);
  return {
    explain(result) {
      const isShown = when === 'always' || (when === 'failed' && !didWell(result));
      if (isShown) explain(explanation(journal));
    },
    tellFacts(ended, found) {
      if (!isReported) return;
      const seen = [...found, ...seenTroubles(journal)];
      const [topology, reserved] = [describeTree(machine), reservedFacts(machine)];
      const page = { topology, reserved, explanation: explanation(journal) };
      tell({ kind: 'facts', facts: { page, seen, ended } });
    },
  };
}
function explain(lines: readonly string[]): void {
  if (lines.length === 0) return;
  const head = 'softiommu: what did not work, the likely cause first (--explain=off: say nothing):';
  printLines([head, ...lines]);
}
function printLines(lines: readonly string[]): void {
  if (lines.length > 0) say(`${lines.join('\n')}\n`);
}

function didWell(result: RunResult): boolean {
  return result.kind === 'exit' && result.status === 0;
}
/** A program that did well did not do what was asked of softiommu; one that failed has said so itself. */
function withoutTrace(result: RunResult): RunResult {
  return didWell(result) ? { kind: 'exit', status: STATUS_FAILED } : result;
}

function runProgram(plan: KernelPlan, machine: Machine, outside: Outside): RunResult {
  const tree = plan.launch.namespace
    ? new NamespaceTree(machine.vfs)
    : new PathTrapTree(machine.vfs);
  try {
    slowPages.begin();
    preparePromptSeize();
    if (inSteps) {
      prepareSteps();
      callLook.begin();
      outside.sites.beginSteps();
    }
    const rings = plan.pin === 'exact' ? openRings() : undefined;
    const launched = launch(plan.argv, { ...plan.launch, wait: plan.wait }, tree);
    if (typeof launched === 'number') return { kind: 'exit', status: launched };
    tell({ kind: 'started', pid: launched.pid, launcher: launched.launcher.pid });
    const sites = plan.sanitize && outside.sites;
    const loop = new KernelLoop({
      ...{ machine, tree, warn },
      sign: new TurnSign(plan.turn),
      groupSignals: new GroupSignals(plan.groupSignals),
      pid: launched.pid,
      launcher: launched.launcher,
      wait: plan.wait,
      notRun: (error) => {
        const { status, reason } = whyNotRun(plan.argv[0]!, error);
        warn(notRunLine(plan.argv[0]!, reason));
        return status << 8;
      },
      programEnded: () => tell({ kind: 'program-ended' }),
      transport: (others) => new Listener(launched.listener, others, { inSteps }),
      mmio: (parts) => new MmioTraps(parts, { inSteps, sites }),
      sites,
      capabilities: plan.launch.capabilities === true,
      seesEveryRead: plan.launch.events === true || plan.launch.barBuffers === true,
      memlock: plan.memlock,
      newRing: rings?.newRing,
    });
    watchOutside(loop, outside);
    try {
      const status = loop.run();
      tellExit(machine.env.trace, launched.pid, status);
      return resultOf(status);
    } finally {
      tree.unmount();
      launched.launcher.close();
      loop.close();
      rings?.close();
    }
  } finally {
    tree.close();
  }
}

function watchOutside(loop: KernelLoop, { storage, wires }: Outside): void {
  if (storage) loop.watches.watchFd(storage.wakeFd, () => storage.deliver());
  if (wires) loop.watches.watchFd(wires.fd, () => wires.serve());
}

function resultOf(waitStatus: number): RunResult {
  const signal = waitStatus & 0x7f;
  return signal === 0 ? { kind: 'exit', status: waitStatus >> 8 } : { kind: 'signal', signal };
}

async function outcome(plan: KernelPlan): Promise<RunResult> {
  isBehind = false;
  try {
    const types = await typesOf(plan.plugins);
    if ('problem' in types) return { kind: 'failed', message: types.problem };
    const faults = await faultsOf(plan.faults);
    const sanitize = await sanitizingOf(plan.sanitize);
    const keepOrigins = await originsOf(plan);
    return main(plan, types, { traces: await tracesOf(plan), faults, sanitize, keepOrigins });
  } catch (error) {
    if (error instanceof HostError) return { kind: 'failed', message: error.message };
    const shortage = shortageOf(error);
    if (shortage) return { kind: 'failed', message: shortage.message };
    const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
    return { kind: 'failed', message: `bug in the host layer: ${text}` };
  }
}
/** What comes with softiommu, and what plugins add. */
async function typesOf(plugins: readonly string[]): Promise<HardwareTypes | { problem: string }> {
  if (plugins.length === 0) return KNOWN_TYPES;
  const { loadPlugins } = await import('../launch/plugins.ts');
  const loaded = await loadPlugins(plugins, { ...KNOWN_TYPES, presets: {} }, warn);
  return 'problem' in loaded ? loaded : loaded.known;
}
/** What is to go wrong; undefined: nothing, and then nothing of it is loaded. */
async function faultsOf(expressions: readonly string[]): Promise<RunFaults | undefined> {
  if (expressions.length === 0) return undefined;
  const { runFaults } = await import('./run-faults.ts');
  return runFaults(expressions, warn);
}
/** Only of a run that is to explain itself in any case: it looks at each call that maps. */
async function originsOf({ explain: when }: KernelPlan): Promise<Wanted['keepOrigins']> {
  if (when !== 'always') return undefined;
  const { KeptOrigins } = await import('../../insight/sanitizer/kept-origins.ts');
  return (sites) => new KeptOrigins(sites);
}
/** The sanitizer, for a run that wants it; of another the end stays as it is. */
async function sanitizingOf(plan: SanitizePlan | undefined): Promise<Wanted['sanitize']> {
  if (!plan) return () => ({ end: (result) => result, seen: [] });
  const { Sanitizing } = await import('./sanitizing.ts');
  return (run) => new Sanitizing(plan, { ...run, say });
}
/** To the main thread. */
function tell(news: RunNews): void {
  parentPort?.postMessage(news);
}
const first = workerData as KernelPlan; // cast: what run.ts starts the thread with
void outcome(first).then((result) => {
  tell(result);
  if (!first.goesOn) return;
  parentPort?.on('message', (next: KernelPlan) => void outcome(next).then(tell));
});
