/** The machine of a run, its trace going to a file, its Bugs to the user. */
import { existsSync } from 'node:fs';
import { release } from 'node:os';
import type { Stamped } from '../../base/events.ts';
import type { TraceSink } from '../../insight/trace/sink.ts';
import type { HardwareTypes } from '../../machine/description/entries.ts';
import type { MachineDescription } from '../../machine/description/description.ts';
import type { BlockBacking } from '../../machine/hardware/blocks.ts';
import type { WireBacking } from '../../machine/hardware/wires.ts';
import { Machine, type FaultPolicies } from '../../machine/machine.ts';
import { HostCallSites } from '../stacks/host-call-sites.ts';
import { LentMemory } from '../process/lent-memory.ts';
import { HostPages } from '../process/shared-memory.ts';
import * as libc from '../sys/libc.ts';
import { commandName, textOf } from '../sys/procfs.ts';
import { TraceFiles, type TraceTarget } from './trace-files.ts';

/** Where the trace and the messages of a run go. */
export interface RunOutput {
  readonly warn: (text: string) => void;
  readonly traces: readonly TraceTarget[];
  /** Block devices on files of the host, by name. */
  readonly disks: ReadonlyMap<string, BlockBacking>;
  /** Wires to the host, by name. */
  readonly wires: ReadonlyMap<string, WireBacking>;
  /** What its description names. */
  readonly types: HardwareTypes;
  /** What goes wrong. */
  readonly faults?: FaultPolicies | undefined;
}

/** A machine and its traces, which end when it is closed. */
export interface RunMachine {
  readonly machine: Machine;
  /** Where calls come from. */
  readonly sites: HostCallSites;
  /** The last of the traces. False: some of one could not be written, which has been said. */
  close(): boolean;
}

/** Where a module lies in the kernel is shown to root only. */
const ADDRESS = /\b0x[0-9a-f]{16}\b/g;
function hostText(path: string): string {
  return textOf(path).replace(ADDRESS, `0x${'0'.repeat(16)}`);
}
/** A host has one of the release it runs, and a container has none. */
function moduleDirectory(): { moduleRelease?: string } {
  const moduleRelease = release();
  return existsSync(`/lib/modules/${moduleRelease}`) ? {} : { moduleRelease };
}

/** What only the host knows of an event: when it was by its clock, and who calls. */
function withHost(machine: Machine, views: readonly TraceSink[]): (stamped: Stamped) => void {
  const startNs = libc.monotonicNs() - machine.env.clock.nowNs;
  const known = new Set<number>();
  return (stamped) => {
    const hostNs = libc.monotonicNs() - startNs;
    const { event } = stamped;
    const pid = event.kind === 'enter' ? event.pid : undefined;
    // Whoever opens a file may have executed another program since.
    const isNew = event.kind === 'enter' && (event.name === 'openat' || !known.has(pid ?? 0));
    if (pid !== undefined) known.add(pid);
    const comm = isNew && pid !== undefined ? commandName(pid) : undefined;
    const told = { ...stamped, hostNs, ...(comm !== undefined && { comm }) };
    for (const view of views) view.take(told);
  };
}
/** The machine of a run, its nodes the user's. */
export function buildMachine(description: MachineDescription, output: RunOutput): RunMachine {
  const machine = new Machine(description, {
    // As after a udev rule that gives the devices to the user of the run.
    owner: { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 },
    hostText,
    deviceTypes: output.types.devices,
    iommuTypes: output.types.iommus,
    host: { blocks: output.disks, wires: output.wires },
    ...moduleDirectory(),
    ...(output.faults && { faults: output.faults }),
    newSharedPages: (length) => HostPages.create(length),
    newBarMemory: (length) => new LentMemory(length),
    onBug: ({ during, stack }) => output.warn(`BUG in ${during}\n${stack}`),
  });
  const sites = new HostCallSites(machine.env);
  const traces = output.traces.map((target) => openTarget({ machine, sites }, target, output.warn));
  const views = traces.map(({ view }) => view);
  const { trace } = machine.env;
  const listener = views.length > 0 ? trace.listen(withHost(machine, views)) : undefined;
  return {
    machine,
    sites,
    close: () => {
      listener?.[Symbol.dispose]();
      return traces.map(({ close }) => close()).every(Boolean);
    },
  };
}

/** A trace, and what ends it and says whether all of it was written. */
function openTarget(
  { machine, sites }: Pick<RunMachine, 'machine' | 'sites'>,
  target: TraceTarget,
  warn: RunOutput['warn'],
): { readonly view: TraceSink; readonly close: () => boolean } {
  const files = new TraceFiles(target, warn);
  const view = target.view(machine, { sites, printTo: (part) => files.printTo(part) });
  const close = (): boolean => {
    view.flush();
    return files.close();
  };
  return { view, close };
}
