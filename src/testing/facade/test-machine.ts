/**
 * A machine for tests, with a program on it that drives devices as a user of iommufd and VFIO does: an IOAS, memory that
 * is mapped in it, registers, interrupts. Whatever the kernel refuses throws SoftIommuError.
 */
import type { FaultEvent } from '../../base/events.ts';
import { Machine } from '../../facade/machine.ts';
import type { Program, ProgramBuffer, RegisterWindow } from '../../facade/program.ts';
import type { DeviceInput } from '../../machine/create-machine.ts';
import type { MachineInput } from '../../machine/description/description.ts';
import type { HardwareTypes } from '../../machine/description/entries.ts';
import type { MachineOptions } from '../../machine/machine.ts';
import * as i from '../../uapi/iommufd.ts';
import { PCI_COMMAND } from '../../uapi/pci-regs.ts';
import * as v from '../../uapi/vfio.ts';

type TypeIn<M> = M extends ReadonlyMap<string, infer T> ? T : never;
type DeviceType = TypeIn<HardwareTypes['devices']>;

/** Which machine. */
export interface TestMachineOptions {
  /** Types of one's own, besides those that come with softiommu. */
  readonly devices?: readonly DeviceType[];
  readonly iommus?: readonly TypeIn<HardwareTypes['iommus']>[];
  /** A description or a preset; default: preset:default. */
  readonly machine?: MachineInput | `preset:${string}`;
  /** Storage and wires of the devices. */
  readonly host?: NonNullable<MachineOptions['host']>;
}

/** Memory decoding and bus mastering. */
const ON = Uint8Array.of(6, 0);
/** Where testDevice() plugs in: QEMU's first free slot. */
const SLOT = '0000:00:04.0';
const NEVER = 'not one that can be: the machine has ended';

/** A machine, and one program on it. `using rig = new TestMachine()` ends both. */
export class TestMachine {
  readonly machine: Machine;
  /** The program; root. */
  readonly program: Program;
  /** Every fault so far, in order. */
  readonly faults: readonly FaultEvent[];
  readonly iommufd: number;
  readonly #trace: Disposable;
  #open = true;

  constructor(options: TestMachineOptions = {}) {
    const { devices = [], iommus = [], machine, host } = options;
    this.machine = new Machine(machine, {
      deviceTypes: new Map(devices.map((type) => [type.type, type])),
      iommuTypes: new Map(iommus.map((type) => [type.type, type])),
      ...(host && { host }),
    });
    const faults: FaultEvent[] = [];
    this.faults = faults;
    this.#trace = this.machine.trace(({ event }) => {
      if (event.kind === 'fault') faults.push(event);
    });
    this.program = this.machine.program();
    this.iommufd = this.program.open('/dev/iommu');
  }
  /** A new address space of the program. */
  ioas(): TestIoas {
    const made = i.iommu_ioas_alloc.make();
    this.program.ioctl(this.iommufd, i.IOMMU_IOAS_ALLOC, made);
    return new TestIoas(this, made.out_ioas_id);
  }
  /**
   * Take the device at an address and attach it to an address space, a new one if none is given: its registers are mapped,
   * it may do DMA, and its messages are counted.
   */
  driver(address: string, ioas: TestIoas = this.ioas()): TestDriver {
    return new TestDriver(this, address, ioas);
  }
  /** Let simulated time pass. */
  advance(deltaNs: number): void {
    this.machine.advance(deltaNs);
  }
  /** The program ends, and then the machine. A second time it does nothing. */
  close(): void {
    if (!this.#open) return;
    this.#open = false;
    this.program.exit();
    this.#trace[Symbol.dispose]();
    this.machine.close();
  }
  /** As close(), at the end of a `using` block. */
  [Symbol.dispose](): void {
    this.close();
  }
}

/** An address space of iommufd: what the devices attached to it reach. */
export class TestIoas {
  readonly id: number;
  readonly #rig: TestMachine;

  constructor(rig: TestMachine, id: number) {
    this.#rig = rig;
    this.id = id;
  }
  /** Memory of the program at an address of the device; with whole pages of 4096 bytes. EEXIST: something is there. */
  map(iova: bigint, length: number, access: 'r' | 'w' | 'rw' = 'rw'): ProgramBuffer {
    const { program, iommufd } = this.#rig;
    const memory = program.alloc(length);
    const flags =
      i.IOMMU_IOAS_MAP_FIXED_IOVA |
      (access.includes('r') ? i.IOMMU_IOAS_MAP_READABLE : 0) |
      (access.includes('w') ? i.IOMMU_IOAS_MAP_WRITEABLE : 0);
    const range = { ioas_id: this.id, user_va: memory.address, iova, length: BigInt(length) };
    program.ioctl(iommufd, i.IOMMU_IOAS_MAP, i.iommu_ioas_map.make({ flags, ...range }));
    return memory;
  }
  /** ENOENT: nothing is mapped there. */
  unmap(iova: bigint, length: number): void {
    const { program, iommufd } = this.#rig;
    const range = { ioas_id: this.id, iova, length: BigInt(length) };
    program.ioctl(iommufd, i.IOMMU_IOAS_UNMAP, i.iommu_ioas_unmap.make(range));
  }
}

/** A device with its driver: the program has it open, as a character device that is bound and attached. */
export class TestDriver {
  readonly address: string;
  readonly ioas: TestIoas;
  readonly fd: number;
  /** The device id in the iommufd. */
  readonly id: number;
  readonly #rig: TestMachine;
  readonly #bars = new Map<number, RegisterWindow>();
  readonly #eventfds: readonly number[];

  constructor(rig: TestMachine, address: string, ioas: TestIoas) {
    this.#rig = rig;
    this.address = address;
    this.ioas = ioas;
    const { program, iommufd } = rig;
    const [cdev = NEVER] = program.readdir(`/sys/bus/pci/devices/${address}/vfio-dev`);
    this.fd = program.open(`/dev/vfio/devices/${cdev}`);
    const bind = v.vfio_device_bind_iommufd.make({ iommufd });
    program.ioctl(this.fd, v.VFIO_DEVICE_BIND_IOMMUFD, bind);
    this.id = bind.out_devid;
    const attach = v.vfio_device_attach_iommufd_pt.make({ pt_id: ioas.id });
    program.ioctl(this.fd, v.VFIO_DEVICE_ATTACH_IOMMUFD_PT, attach);
    const { offset } = this.#region(v.VFIO_PCI_CONFIG_REGION_INDEX);
    program.write(this.fd, ON, offset + BigInt(PCI_COMMAND));
    this.#eventfds = this.#messages();
  }
  /** The registers of a BAR that is memory. */
  bar(index: number): RegisterWindow {
    const known = this.#bars.get(index);
    if (known) return known;
    const { size, offset } = this.#region(index);
    const window = this.#rig.program.mmapRegisters(this.fd, Number(size), offset);
    this.#bars.set(index, window);
    return window;
  }
  /** A register of BAR 0. */
  load(offset: number, width: 1 | 2 | 4 | 8 = 4): bigint {
    return this.bar(0).load(offset, width);
  }
  /** A register of BAR 0. */
  store(offset: number, width: 1 | 2 | 4 | 8, value: bigint | number): void {
    this.bar(0).store(offset, width, value);
  }
  /** Wait for a message while time passes; how many have come. EDEADLK: none will ever come. */
  interrupt(vector = 0): bigint {
    return this.#rig.program.waitEventfd(this.#eventfds[vector] ?? -1);
  }

  #region(index: number) {
    const info = v.vfio_region_info.make({ index });
    this.#rig.program.ioctl(this.fd, v.VFIO_DEVICE_GET_REGION_INFO, info);
    return info;
  }
  /** An eventfd for each message: of MSI-X where there is any, else of MSI. */
  #messages(): number[] {
    const { program } = this.#rig;
    for (const index of [v.VFIO_PCI_MSIX_IRQ_INDEX, v.VFIO_PCI_MSI_IRQ_INDEX]) {
      const info = v.vfio_irq_info.make({ index });
      program.ioctl(this.fd, v.VFIO_DEVICE_GET_IRQ_INFO, info);
      const { count } = info;
      if (count === 0) continue;
      const fds = Array.from({ length: count }, () => program.eventfd());
      const argsz = v.vfio_irq_set.size + 4 * count;
      const flags = v.VFIO_IRQ_SET_DATA_EVENTFD | v.VFIO_IRQ_SET_ACTION_TRIGGER;
      const set = new Uint8Array(argsz);
      set.set(v.vfio_irq_set.make({ argsz, flags, index, count }).bytes);
      set.set(new Uint8Array(Int32Array.from(fds).buffer), v.vfio_irq_set.size);
      program.ioctl(this.fd, v.VFIO_DEVICE_SET_IRQS, set);
      return fds;
    }
    return [];
  }
}

/** One device of a type in a machine of its own, with its driver; close the machine, or say `using`. */
export interface TestDevice extends Disposable {
  readonly rig: TestMachine;
  readonly driver: TestDriver;
  readonly ioas: TestIoas;
}

/** A device of this type alone below one IOMMU, taken by a program. Options that are not given have their defaults. */
export function testDevice(
  type: DeviceType,
  options: DeviceInput['options'] = {},
  more: Omit<TestMachineOptions, 'machine'> = {},
): TestDevice {
  const devices = [...(more.devices ?? []), type];
  const machine = { devices: [{ type: type.type, at: SLOT, options }] };
  const rig = new TestMachine({ ...more, devices, machine });
  const driver = rig.driver(SLOT);
  return { rig, driver, ioas: driver.ioas, [Symbol.dispose]: () => rig.close() };
}
