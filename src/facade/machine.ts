/**
 * The library's machine: built in one line, with programs, devices and domains that throw SoftIommuError.
 */
import { EBUSY, type Errno } from '../base/errno.ts';
import { refuse } from '../base/refuse.ts';
import { formatEvent } from '../insight/views/event-text.ts';
import type { Stamped } from '../base/events.ts';
import type { Explanation } from '../core/contract/remapping-unit.ts';
import { describeTree } from '../insight/views/tree.ts';
import type { MachineInput } from '../machine/description/description.ts';
import { createMachine, plugDevice, type DeviceInput } from '../machine/create-machine.ts';
import type { Machine as Kernel, MachineOptions } from '../machine/machine.ts';
import { PRESETS } from '../machine/description/presets.ts';
import type { Credentials } from '../machine/program/program.ts';
import { SimDevice } from './device.ts';
import { call, SoftIommuError } from './error.ts';
import { Holdings } from './holdings.ts';
import { Program } from './program.ts';

/** A description that describes no machine that can be; every problem with its place. */
export class MachineDescriptionError extends Error {
  override name = 'MachineDescriptionError';
  readonly problems: readonly {
    readonly path: readonly (string | number)[];
    readonly message: string;
  }[];
  constructor(problems: MachineDescriptionError['problems']) {
    super(problems.map((p) => [p.path.join('.'), p.message].filter(Boolean).join(': ')).join('\n'));
    this.problems = problems;
  }
}

/**
 * One simulated computer.
 *
 * @example
 * const machine = new Machine();
 * const device = machine.device('0000:00:04.0');
 * const domain = device.allocDomain();
 * const memory = device.allocMemory(4096);
 * device.claim();
 * device.attach(domain);
 * domain.map(0x10000n, memory);
 * device.busMaster = true;
 * device.dmaWrite(0x10000n, Uint8Array.of(1, 2, 3));
 */
export class Machine {
  /** The simulated kernel itself: errno values instead of exceptions, everything open to look at. */
  readonly kernel: Kernel;
  readonly #holdings = new Holdings();

  /** `new Machine()`, `new Machine('preset:two-iommus')`, or a description as in a machine file. */
  constructor(
    machine: MachineInput | `preset:${string}` = 'preset:default',
    options: MachineOptions = {},
  ) {
    const made = createMachine(typeof machine === 'string' ? preset(machine) : machine, options);
    if ('problems' in made) throw new MachineDescriptionError(made.problems);
    this.kernel = made.machine;
  }

  /** The same as `new Machine(…)`. */
  static create(
    machine: MachineInput | `preset:${string}` = 'preset:default',
    options: MachineOptions = {},
  ): Machine {
    return new Machine(machine, options);
  }

  /** Every device the simulated kernel knows, by address. */
  get devices(): SimDevice[] {
    return this.kernel.pci
      .devices()
      .map((pci) => new SimDevice(this.kernel, pci.name, this.#holdings));
  }
  /**
   * Put a device in while the machine runs; its address says behind which bridge. Throws MachineDescriptionError for what
   * cannot stand there.
   */
  plug(device: DeviceInput): SimDevice {
    const made = plugDevice(this.kernel, device);
    if ('problems' in made) throw new MachineDescriptionError(made.problems);
    return this.device(device.at);
  }
  /**
   * Pull a device out with all behind it, whatever it is doing: its registers read all ones, its DMA goes nowhere, its
   * user is told (ERR, then REQ). The kernel forgets it when nobody has it open any more; what it does then it does when
   * time passes. ENODEV: nothing is there; EINVAL: a virtual function.
   */
  unplug(address: string): void {
    this.call('unplug', () => this.kernel.hotplug.unplug(address));
  }
  /** A process with its own memory and files; root unless said otherwise. */
  program(credentials: Credentials = {}): Program {
    return new Program(this.kernel.program(credentials));
  }
  /** A device by its address. Throws ENODEV. */
  device(address: string): SimDevice {
    return new SimDevice(this.kernel, address, this.#holdings);
  }
  /** Let simulated time pass. */
  advance(deltaNs: number): void {
    this.call('clock', () => this.kernel.advanceTo(this.kernel.env.clock.nowNs + deltaNs));
  }
  /** Hear every event; dispose the result to stop. */
  trace(listener: (event: Stamped, text: string) => void): Disposable {
    return this.kernel.env.trace.listen((event) => {
      listener(event, formatEvent(event));
    });
  }
  /** How the address `iova` of a device is translated now, level by level. */
  explain(
    address: string,
    iova: bigint,
    options: { pasid?: number; write?: boolean } = {},
  ): Explanation {
    return this.device(address).explain(iova, options);
  }
  /** The devices, groups and IOMMUs as text. */
  topology(): string {
    return describeTree(this.kernel);
  }
  /** Programs end and devices leave. EBUSY: a domain or a claim was not given back, and nothing was changed. */
  close(): void {
    const left = this.#holdings.names.join(', ');
    call('close', () =>
      left ? refuse(EBUSY, 'what the machine gave was not given back', { left }) : undefined,
    );
    this.kernel.close();
  }

  /** Run something of the kernel and turn its errno into an exception. */
  call<T>(what: string, run: () => T | Errno): T {
    return call(what, run);
  }
}

export { SoftIommuError };

function preset(name: string): MachineInput {
  const key = name.slice('preset:'.length);
  if (Object.hasOwn(PRESETS, key)) return PRESETS[key]!.machine;
  const names = Object.keys(PRESETS).join(', ');
  throw new MachineDescriptionError([{ path: [], message: `no ${name}; presets: ${names}` }]);
}
