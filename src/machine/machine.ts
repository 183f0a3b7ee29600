/**
 * One simulated computer: the kernel layers wired to RAM, devices, files and time.
 *
 * Everything a program can reach hangs on `root` (nodes) and `syscalls` (calls); everything a test wants to know of the
 * whole is here: the state digest, what is left over, the Bugs met.
 */
import type { BarMemory } from '../base/bar-memory.ts';
import { Bug, bugOn } from '../base/bug.ts';
import type { Result, Status } from '../base/errno.ts';
import type { SharedPages } from '../base/file.ts';
import type { FailPolicy } from '../base/fail-points.ts';
import { KernelEnv } from '../base/kernel-env.ts';
import { UserAccounts } from '../base/task.ts';
import { IommuCore } from '../core/contract/iommu-core.ts';
import { stateDigest } from '../core/state-digest.ts';
import { DEVICE_TYPES } from '../devices/index.ts';
import type { HostBackings } from '../devices/host-services.ts';
import { createPciGrouping } from '../drivers/pci-group.ts';
import { IOMMU_TYPES, type IommuTypes } from '../drivers/types.ts';
import { Ram } from '../pt/ram.ts';
import { iommufdFileOps } from '../iommufd/main.ts';
import { IommufdSubsystem } from '../iommufd/subsystem.ts';
import { IOMMUFD_API } from '../vfio/iommufd-api.ts';
import { type1Driver } from '../vfio/type1/type1.ts';
import { VfioParameters, VfioSubsystem } from '../vfio/vfio-core.ts';
import { DEFAULT_MACHINE } from './description/default-machine.ts';
import type { MachineDescription } from './description/description.ts';
import type { DeviceTypes, HardwareTypes } from './description/entries.ts';
import { devRoot } from './files/dev.ts';
import { DriverCore } from './kernel/driver-core.ts';
import { Hotplug } from './kernel/hotplug.ts';
import { hostDrivers } from './kernel/drivers.ts';
import { Guard, type BugReport } from './files/guard.ts';
import { withBlocks } from './hardware/blocks.ts';
import type { CallFaultPolicy } from './files/call-faults.ts';
import type { DeviceFaultPolicy, FaultyBus } from './hardware/device-faults.ts';
import { Hardware } from './hardware/hardware.ts';
import { releaseOf, traitsOf } from './description/releases.ts';
import type { PinnedRemoval } from './memory/pin-copies.ts';
import { FilePages, MachineMm, MappedObjects } from './memory/mm.ts';
import type { DirNode } from './files/nodes.ts';
import { MttyParent } from './kernel/mdev.ts';
import { makeModules, type Modules } from './kernel/parameters.ts';
import { MachineMemory } from './memory/physical-memory.ts';
import { PciDevices } from './kernel/pci-devices.ts';
import type { ObjectMemory, ProcessMemory } from './memory/process-memory.ts';
import { Program, type Credentials } from './program/program.ts';
import { MachineSelftest } from './kernel/selftest-hardware.ts';
import { PlainPages } from './program/shared-pages.ts';
import { Syscalls } from './files/syscalls.ts';
import { FaultInjection } from './files/fault-injection.ts';
import { libRoot } from './files/module-directory.ts';
import { procRoot, type HostText } from './files/proc.ts';
import { sysfsRoot } from './files/sysfs/index.ts';
import { dir } from './files/tree.ts';
import { Vfs, type Owner } from './files/vfs.ts';

/** Who says what is to go wrong, of each kind. Absent: nothing is. */
export interface FaultPolicies {
  /** Allocations and other points of failure, in calls. */
  readonly points?: FailPolicy | undefined;
  readonly calls?: CallFaultPolicy | undefined;
  readonly devices?: DeviceFaultPolicy | undefined;
}
/** What a machine gets besides its description. */
export interface MachineOptions {
  /** Device models besides those that come with softiommu. */
  readonly deviceTypes?: DeviceTypes;
  /** IOMMUs besides those that come with softiommu. */
  readonly iommuTypes?: IommuTypes;
  /** Page-table formats for IOMMUs that ask for one by name, besides those that come with softiommu. */
  readonly formats?: NonNullable<HardwareTypes['formats']>;
  /** Storage, byte streams and wires outside of the machine that its devices may use, by name. */
  readonly host?: HostBackings;
  /** What the host's files of /proc say beside ours. */
  readonly hostText?: HostText;
  /** The machine has /lib/modules/RELEASE of this release. */
  readonly moduleRelease?: string;
  /** Whose /dev and /sys are. Default: root's. */
  readonly owner?: Owner;
  /** Called with each Bug that is caught. */
  readonly onBug?: (report: BugReport) => void;
  /** Pages a program may mmap; the host gives memory real processes can share. */
  readonly newSharedPages?: (lengthBytes: number) => Result<SharedPages>;
  /** What goes wrong because somebody wants to see what comes of it. */
  readonly faults?: FaultPolicies;
  /** What holds the plain pages of BARs; the host gives memory real processes can map. */
  readonly newBarMemory?: (lengthBytes: number) => BarMemory;
}

export class Machine {
  readonly description: MachineDescription;
  readonly env: KernelEnv;
  readonly ram: Ram;
  readonly core: IommuCore;
  readonly memory: MachineMemory;
  readonly accounts = new UserAccounts();
  readonly guard: Guard;
  readonly syscalls: Syscalls;
  readonly hardware: Hardware;
  readonly drivers: DriverCore;
  /** The PCI devices the kernel knows. */
  readonly pci: PciDevices;
  /** Devices come and go while it runs. */
  readonly hotplug: Hotplug;
  /** What can be plugged in. */
  readonly types: HardwareTypes;
  /** What devices may use of the host. */
  readonly host: HostBackings;
  readonly iommufd: IommufdSubsystem;
  readonly vfio: VfioSubsystem;
  readonly modules: Modules;
  /** Of a kernel with the sample driver of mediated devices. */
  readonly mtty: MttyParent | undefined;
  /** Of a kernel built with it. */
  readonly faults: FaultInjection | undefined;
  /** Children 'dev', 'proc' and 'sys', and 'lib' where it has modules. */
  readonly root: DirNode;
  /** Paths, open(2) and rights over `root`. */
  readonly vfs: Vfs;
  readonly #objects = new MappedObjects();
  readonly #programs = new Set<Program>();
  #mmSeq = 0;
  #inodeSeq = 0;

  /** A machine of a checked description: the default preset when none is given. */
  constructor(description: MachineDescription = DEFAULT_MACHINE, options: MachineOptions = {}) {
    this.description = description;
    const traits = traitsOf(description.kernel);
    if (traits.has('fault-injection')) {
      this.faults = new FaultInjection((text) => this.env.log('info', text));
    }
    const faults = faultsOf(options);
    const points = bothFail(this.faults, faults.points);
    this.env = new KernelEnv(traits, releaseOf(description.kernel), points);
    this.ram = new Ram(description.ramMiB * 2 ** 20, this.env);
    this.memory = new MachineMemory(this.ram);
    this.core = new IommuCore(this.env, this.ram, this.memory);
    this.guard = new Guard(this.env, options.onBug);
    this.syscalls = new Syscalls(this.env, this.guard, faults.calls);
    const { core, memory } = this;
    this.env.trace.countPinned = () => memory.pinnedFrames;
    const types = (this.types = allTypes(options));
    const grouping = createPciGrouping();
    this.host = options.host ?? {};
    const host = withBlocks(description, this.host);
    const { newBarMemory, moduleRelease } = options;
    const bus = { core, memory, faults: this.#faultyBus(faults.devices), newBarMemory };
    this.hardware = new Hardware({ ...bus, types, host, description, grouping });
    this.iommufd = new IommufdSubsystem({
      core,
      memory,
      accounts: this.accounts,
      fileOps: iommufdFileOps,
      newSharedPages: options.newSharedPages ?? ((length) => this.#plainPages(length)),
      ...(this.env.has('iommufd-selftest') && { selftest: new MachineSelftest(core) }),
    });
    const iommufd = this.env.has('no-iommufd') ? undefined : IOMMUFD_API;
    const parameters = new VfioParameters();
    this.vfio = new VfioSubsystem({
      core,
      iommufd,
      parameters,
      containerDrivers: [type1Driver({ env: this.env, memory, parameters })],
      deviceOfFunction: (fn) => this.pci.ofFunction(fn)?.dev,
    });
    this.drivers = new DriverCore(this.env);
    this.pci = new PciDevices({ core, hardware: this.hardware, grouping, drivers: this.drivers });
    for (const driver of hostDrivers(this.vfio, this.pci)) this.drivers.add(driver);
    this.hotplug = new Hotplug({
      env: this.env,
      hardware: this.hardware,
      devices: this.pci,
      drivers: this.drivers,
      description,
    });
    this.modules = makeModules(this.env, this.vfio);
    this.mtty = this.env.has('mtty') ? new MttyParent(this.vfio) : undefined;
    const dev = devRoot(this);
    const sys = sysfsRoot(this);
    const proc = procRoot(this, options.hostText ?? (() => ''));
    const lib = moduleRelease === undefined ? undefined : libRoot(this, moduleRelease);
    this.root = dir(() => ({ dev, lib, proc, sys }), true);
    this.vfs = new Vfs(this.root, options.owner);
    this.hotplug.scan();
  }

  /** A new address space. Call its `exit()` when the last task of it is gone. */
  addMm(memory: ProcessMemory): MachineMm {
    return new MachineMm(++this.#mmSeq, {
      memory,
      frames: this.memory,
      objects: this.#objects,
      writesAnyFile: this.env.has('pin-writes-any-file'),
    });
  }
  /** A file that can be pinned by itself (ForeignFile.pages). */
  filePages(memory: ObjectMemory): FilePages {
    return new FilePages({ memory, frames: this.memory, objects: this.#objects });
  }
  /** For a call that takes pages out of an object. Undefined: none of them is pinned. */
  objectRemoval(
    object: string,
    span: { index: number; count: number },
    goes?: (index: number) => boolean,
  ): PinnedRemoval | undefined {
    return this.#objects.removal(this.memory, object, span, goes);
  }
  /** Has a device pages of this object pinned that the object still has? */
  isPinned(object: string): boolean {
    return this.#objects.isPinned(this.memory, object);
  }
  /** A program inside the library. Its `exit()` closes everything it has open. */
  program(credentials: Credentials = {}): Program {
    const program = new Program(
      {
        env: this.env,
        vfs: this.vfs,
        syscalls: this.syscalls,
        clock: this.env.clock,
        refs: this.env.refs,
        addMm: (memory) => this.addMm(memory),
        filePages: (memory) => this.filePages(memory),
        nextInode: () => ++this.#inodeSeq,
      },
      1000 + this.#programs.size,
      credentials,
    );
    this.#programs.add(program);
    return program;
  }

  /** Run every timer of the machine up to then: device delays, flush queues. */
  advanceTo(nowNs: number): Status<'EIO'> {
    return this.#timers(() => this.env.clock.advanceTo(nowNs));
  }
  /** The same for a machine that has others to serve: work that goes on at once goes on in the next call. */
  advanceOnceTo(nowNs: number): Status<'EIO'> {
    return this.#timers(() => this.env.clock.advanceOnceTo(nowNs));
  }
  #timers(run: () => void): Status<'EIO'> {
    return this.guard.run(
      () => 'a timer',
      () => {
        run();
        return undefined;
      },
    );
  }

  /** The whole state as text: equal digests are equal states. */
  stateDigest(): string {
    const devices = this.hardware.slots().map((slot) => {
      const pci = this.pci.at(slot);
      return `pci ${slot.name} driver=${pci?.driver?.name ?? '-'} ${pci?.driverOverride ?? '-'}`;
    });
    const pins = `pins ${this.memory.pinTotal} ram ${this.ram.used}`;
    return [stateDigest(this.core), ...devices, pins].join('\n');
  }

  /** What a machine without users should not have: open devices, owned groups, pins, Bugs. */
  leftovers(): string[] {
    const out: string[] = this.guard.reports.map((r) => `Bug in ${r.during}: ${r.message}`);
    if (this.memory.pinTotal !== 0) out.push(`${this.memory.pinTotal} pins`);
    for (const device of this.vfio.devices()) {
      if (device.openCount > 0) out.push(`${device.dev.name} is open ${device.openCount} times`);
    }
    for (const [id, group] of this.core.groups.entries()) {
      if (group.owner) out.push(`group ${id} is owned`);
      if (group.pasidArray.size > 0) out.push(`group ${id} has PASIDs attached`);
    }
    for (const program of this.#programs) {
      if (program.openFds > 0) out.push(`program ${program.pid} has ${program.openFds} open files`);
    }
    return out;
  }
  assertIdle(): void {
    const left = this.leftovers();
    bugOn(left.length > 0, `the machine is not idle: ${left.join('; ')}`);
  }

  /** Programs end, drivers let go, devices leave: what remains afterwards is a leak, and a Bug. */
  close(): void {
    for (const program of this.#programs) program.exit();
    this.assertIdle();
    this.mtty?.removeAll();
    for (const pci of this.pci.childrenOf(undefined)) {
      if (this.pci.remove(pci)) throw new Bug(`${pci.name} could not be removed`);
    }
    this.#assertNothingLeft();
    this.hardware.close();
  }

  /** Without devices there are no groups and no domains: what is left was leaked. */
  #assertNothingLeft(): void {
    const { domains, groups } = this.core;
    const names = [...domains].map(({ name, owner }) => `${name} of driver ${owner?.name ?? '-'}`);
    for (const [id, group] of groups.entries())
      names.push(`group ${id} (${group.refs} references)`);
    bugOn(names.length > 0, `leaked: ${names.join(', ')}`);
  }

  #faultyBus(policy: DeviceFaultPolicy | undefined): FaultyBus | undefined {
    if (!policy) return undefined;
    const { clock } = this.env;
    const unplug = (device: string): void => {
      // It may be gone meanwhile.
      clock.after(0, () => void this.hotplug.unplug(device));
    };
    return { policy, clock, unplug };
  }
  #plainPages(lengthBytes: number): SharedPages {
    return new PlainPages(`pages:${++this.#inodeSeq}`, lengthBytes);
  }
}

function faultsOf({ faults = {} }: MachineOptions): FaultPolicies {
  return faults;
}
/** A point fails when one of them says so; each is asked. */
function bothFail(a: FailPolicy | undefined, b: FailPolicy | undefined): FailPolicy | undefined {
  if (!a || !b) return a ?? b;
  return {
    fails(point, current) {
      const [one, other] = [a.fails(point, current), b.fails(point, current)];
      return one || other;
    },
  };
}

/** Device models and IOMMUs that come with softiommu, for whoever writes descriptions. */
export const KNOWN_TYPES: HardwareTypes = { devices: DEVICE_TYPES, iommus: IOMMU_TYPES };

/** Those that come with softiommu, and those that were given. */
export function allTypes({
  deviceTypes = new Map(),
  iommuTypes = new Map(),
  formats = new Map(),
}: MachineOptions): HardwareTypes {
  return {
    devices: new Map([...DEVICE_TYPES, ...deviceTypes]),
    iommus: new Map([...IOMMU_TYPES, ...iommuTypes]),
    formats,
  };
}
