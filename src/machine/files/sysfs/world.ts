/** What sysfs shows: the parts of a machine its files read and change. */
import type { FaultInjection } from '../fault-injection.ts';
import type { Device } from '../../../core/contract/device.ts';
import type { IommuCore } from '../../../core/contract/iommu-core.ts';
import type { KernelEnv } from '../../../base/kernel-env.ts';
import type { IommufdSubsystem } from '../../../iommufd/subsystem.ts';
import type { VfioSubsystem } from '../../../vfio/vfio-core.ts';
import type { Hotplug } from '../../kernel/hotplug.ts';
import type { DriverCore } from '../../kernel/driver-core.ts';
import type { Hardware } from '../../hardware/hardware.ts';
import { MTTY_PATH, type MttyParent } from '../../kernel/mdev.ts';
import type { Modules } from '../../kernel/parameters.ts';
import type { PciDevices } from '../../kernel/pci-devices.ts';

/** The parts of a machine that sysfs reads and changes. */
export interface SysfsWorld {
  readonly env: KernelEnv;
  readonly core: IommuCore;
  readonly hardware: Hardware;
  readonly pci: PciDevices;
  readonly drivers: DriverCore;
  readonly vfio: VfioSubsystem;
  readonly iommufd: IommufdSubsystem;
  readonly modules: Modules;
  readonly faults: FaultInjection | undefined;
  /** Of a kernel with the sample driver. */
  readonly mtty: MttyParent | undefined;
  readonly hotplug: Hotplug;
}

/** The directory of a device: a PCI function, or a mediated one. */
export function sysPathOfDevice({ pci, mtty }: SysfsWorld, dev: Device): string | undefined {
  const known = pci.of(dev)?.sysPath;
  return known ?? (mtty?.of(dev) && `${MTTY_PATH}/${dev.name}`);
}

/** Relative path from the directory `from` to `to`, both absolute: what sysfs links hold. */
export function relative(from: string, to: string): string {
  const a = from.split('/').filter(Boolean);
  const b = to.split('/').filter(Boolean);
  let same = 0;
  while (same < a.length && same < b.length && a[same] === b[same]) same++;
  return [...a.slice(same).map(() => '..'), ...b.slice(same)].join('/');
}

/** '0x' and at least so many digits, as sysfs prints numbers. */
export function hexText(value: number, digits: number): string {
  return `0x${value.toString(16).padStart(digits, '0')}`;
}

/** Things with their names, for dirOf. */
export function byName<T extends { readonly name: string }>(things: readonly T[]): [string, T][] {
  return things.map((thing) => [thing.name, thing]);
}
