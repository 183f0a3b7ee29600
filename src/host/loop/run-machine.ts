/** The machine of a run, its trace going to a file, its Bugs to the user. */
import { closeSync } from 'node:fs';
import type { TraceView } from '../../insight/views/text.ts';
import type { MachineDescription } from '../../machine/description/description.ts';
import { Machine } from '../../machine/machine.ts';
import { HostPages } from '../process/shared-memory.ts';
import { systemReason } from '../sys/system-reason.ts';
import { isBrokenPipe, STDERR, writeAll } from '../sys/write-all.ts';

/** Where the trace and the messages of a run go. */
export interface RunOutput {
  readonly warn: (text: string) => void;
  /** Where the trace goes. */
  readonly traceFd: number | undefined;
  readonly view: (machine: Machine, print: (line: string) => void) => TraceView;
}

/** A machine and its trace, which ends when it is closed. */
export interface RunMachine {
  readonly machine: Machine;
  /** The last of the trace. False: some of it could not be written, which has been said. */
  close(): boolean;
}

/** The machine of a run, its nodes the user's. */
export function buildMachine(description: MachineDescription, output: RunOutput): RunMachine {
  const machine = new Machine(description, {
    // As after a udev rule that gives the devices to the user of the run.
    owner: { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 },
    newSharedPages: (length) => HostPages.create(length),
    onBug: ({ during, stack }) => output.warn(`BUG in ${during}\n${stack}`),
  });
  const { traceFd } = output;
  if (traceFd === undefined) return { machine, close: () => true };
  let error: unknown;
  const print = (line: string): void => {
    if (error !== undefined) return;
    error = writeAll(traceFd, `${line}\n`);
    // Nobody who reads any more is no mistake: `--trace 2>&1 | head`.
    if (error === undefined || isBrokenPipe(error)) return;
    output.warn(`the trace ends here, it cannot be written: ${systemReason(error)}`);
  };
  const view = output.view(machine, print);
  const listener = machine.env.trace.listen(view.take);
  return {
    machine,
    close() {
      listener[Symbol.dispose]();
      view.flush();
      if (traceFd > STDERR) closeSync(traceFd);
      return error === undefined || isBrokenPipe(error);
    },
  };
}
