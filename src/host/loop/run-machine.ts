/** The machine of a run, its trace going to a file, its Bugs to the user. */
import { closeSync, writeSync } from 'node:fs';
import type { TraceView } from '../../insight/views/text.ts';
import type { MachineDescription } from '../../machine/description/description.ts';
import { Machine } from '../../machine/machine.ts';
import { HostPages } from '../process/shared-memory.ts';

/** Where the trace and the messages of a run go. */
export interface RunOutput {
  readonly warn: (text: string) => void;
  /** Where the trace goes. */
  readonly traceFd: number | undefined;
  readonly view: (machine: Machine, print: (line: string) => void) => TraceView;
}

/** A machine whose trace is flushed when it is disposed of. */
export interface RunMachine extends Disposable {
  readonly machine: Machine;
}

/** The machine of a run, its nodes the user's. */
export function buildMachine(description: MachineDescription, output: RunOutput): RunMachine {
  const machine = new Machine(description, {
    // As after a udev rule that gives the devices to the user of the run.
    owner: { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 },
    newSharedPages: (length) => HostPages.create(length),
  });
  machine.guard.onBug = (report) => output.warn(`BUG in ${report.during}\n${report.stack}`);
  const { traceFd } = output;
  if (traceFd === undefined) return { machine, [Symbol.dispose]: () => undefined };
  let open = true;
  const print = (line: string): void => {
    if (open) open = writeAll(traceFd, `${line}\n`);
  };
  const view = output.view(machine, print);
  const listener = machine.env.trace.listen(view.take);
  return {
    machine,
    [Symbol.dispose]() {
      listener[Symbol.dispose]();
      view.flush();
      if (traceFd > 2) closeSync(traceFd);
    },
  };
}

/** False when nobody reads any more: the program goes on without its trace. */
function writeAll(fd: number, text: string): boolean {
  try {
    for (let bytes = Buffer.from(text); bytes.length > 0;) {
      bytes = bytes.subarray(writeSync(fd, bytes));
    }
    return true;
  } catch (error) {
    // cast: only its code is looked at, and other errors have none
    return (error as NodeJS.ErrnoException).code === 'EAGAIN';
  }
}
