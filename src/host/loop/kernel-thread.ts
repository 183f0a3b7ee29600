/**
 * The worker that holds the whole simulated kernel. The main thread keeps the command line and signals.
 *
 * Programs are started from here, because only the thread that seized a program may steer it.
 */
import { parentPort, workerData } from 'node:worker_threads';
import { writeSync, openSync } from 'node:fs';
import { jsonView } from '../../insight/views/jsonl.ts';
import { textView } from '../../insight/views/text.ts';
import { firstWalks } from '../../insight/views/walk.ts';
import { openRing } from '../process/exact-pins.ts';
import { HostError } from '../sys/ffi.ts';
import { MmioTraps } from '../mmio/mmio-traps.ts';
import { Listener } from '../seccomp/listener.ts';
import { KernelLoop } from './kernel-loop.ts';
import { launch } from '../launch/launch.ts';
import { endDescendants } from '../launch/subreaper.ts';
import type { RunPlan, RunResult } from '../launch/run.ts';
import { buildMachine, type RunOutput } from './run-machine.ts';
import { NamespaceTree } from '../tree/namespace-tree.ts';
import { PathTrapTree } from '../tree/tree-backend.ts';

function warn(text: string): void {
  writeSync(2, `softiommu: ${text}\n`);
}

function main(plan: RunPlan): RunResult {
  using built = buildMachine(plan.machine, {
    warn,
    traceFd: plan.trace === undefined ? undefined : traceDescriptor(plan.trace),
    view: viewFor(plan.trace),
  });
  const { machine } = built;
  const tree = plan.launch.namespace
    ? new NamespaceTree(machine.vfs)
    : new PathTrapTree(machine.vfs);
  try {
    const ring = plan.pin === 'exact' ? openRing() : undefined;
    const launched = launch(plan.argv, plan.launch, tree);
    if (typeof launched === 'number') return { kind: 'exit', status: launched };
    parentPort?.postMessage({ kind: 'started', pid: launched.pid } satisfies RunResult);
    const loop = new KernelLoop({
      ...{ machine, tree, wakeFd: plan.wakeFd, warn },
      pid: launched.pid,
      transport: new Listener(launched.listener),
      mmio: (parts) => new MmioTraps(parts),
      capabilities: plan.launch.capabilities === true,
      events: plan.launch.events === true,
      ring,
    });
    const status = loop.run();
    tree.unmount();
    endDescendants();
    loop.close();
    ring?.close();
    const signal = status & 0x7f;
    return signal === 0 ? { kind: 'exit', status: status >> 8 } : { kind: 'signal', signal };
  } finally {
    tree.close();
  }
}

/** Text for people; JSON lines for programs, told by the file's name. */
function viewFor(file: string | undefined): RunOutput['view'] {
  if (file?.endsWith('.jsonl')) return (_machine, print) => jsonView(print);
  return (machine, print) => textView(print, firstWalks(machine));
}
function traceDescriptor(file: string): number {
  if (file === '-') return 2;
  try {
    return openSync(file, 'w');
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new HostError(`the trace cannot be written: ${reason}`);
  }
}

function outcome(): RunResult {
  try {
    return main(workerData as RunPlan); // cast: what run.ts starts the thread with
  } catch (error) {
    if (error instanceof HostError) return { kind: 'failed', message: error.message };
    const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
    return { kind: 'failed', message: `bug in the host layer: ${text}` };
  }
}
parentPort?.postMessage(outcome());
