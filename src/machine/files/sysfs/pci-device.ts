/**
 * The directory of one PCI function (vfio.md 4.1): what lspci, QEMU, DPDK, SPDK, libvfn and driverctl read and write.
 *
 * NOT IMPLEMENTED: VPD, writing numa_node and reset_method.
 */
import {
  EBUSY,
  EINVAL,
  EIO,
  EPERM,
  isErrno,
  type Result,
  type Status,
} from '../../../base/errno.ts';
import { refuse } from '../../../base/refuse.ts';
import { CAP_SYS_ADMIN, type Task } from '../../../base/task.ts';
import type { Outcome } from '../../../base/wait-queue.ts';
import { resetDone, resetPrepare } from '../../../core/group/reset.ts';
import { RESET_METHODS } from '../../../pci/identity.ts';
import { PCI_COMMAND, PCI_INTERRUPT_LINE } from '../../../uapi/pci-regs.ts';
import type { AttrNode, DirNode, Node } from '../nodes.ts';
import { parseUnsigned } from '../../kernel/parameters.ts';
import { sysPathOf, type PciDev } from '../../kernel/pci-dev.ts';
import { dir, link, textAttr, writableAttr } from '../tree.ts';
import { busDirs, rescanFile } from './pci-bus-class.ts';
import { resourceFiles } from './pci-resource.ts';
import { kernelFiles } from './pci-state.ts';
import { ariEnabled } from '../../kernel/ari.ts';
import { sriovFiles } from './pci-sriov.ts';
import { vfioDevDir } from './vfio-class.ts';
import { hexText, relative, type SysfsWorld } from './world.ts';

type Entries = Record<string, Node | undefined>;

/** The directory of a function, with those of the devices behind it when it is a bridge. */
export function pciDeviceDir(world: SysfsWorld, pci: PciDev): DirNode {
  return dir(() => ({
    ...identityFiles(world, pci),
    ...resourceFiles(pci),
    ...stateFiles(world, pci),
    ...driverFiles(pci),
    ...sriovFiles(world, pci),
    ...linksOf(world, pci),
    'vfio-dev': vfioDevDir(world, pci.dev, pci.sysPath),
    ...childDirs(world, pci),
    pci_bus: pci.isBridge ? busDirs(world, pci) : undefined,
  }));
}

/** Directories of the functions behind a bridge stand inside the bridge's. */
function childDirs(world: SysfsWorld, pci: PciDev): Entries {
  const children = world.pci.childrenOf(pci);
  return Object.fromEntries(children.map((child) => [child.name, pciDeviceDir(world, child)]));
}

function identityFiles(world: SysfsWorld, pci: PciDev): Entries {
  const { identity } = pci.fn;
  const id = (value: number): AttrNode => textAttr(() => `${hexText(value, 4)}\n`);
  return {
    vendor: id(identity.vendor),
    device: id(identity.device),
    subsystem_vendor: id(identity.subsystemVendor ?? 0),
    subsystem_device: id(identity.subsystem ?? 0),
    class: textAttr(() => `${hexText(identity.classCode, 6)}\n`),
    revision: textAttr(() => `${hexText(identity.revision, 2)}\n`),
    modalias: textAttr(() => `${modalias(pci)}\n`),
    uevent: writableAttr(
      () => uevent(pci),
      () => undefined,
    ),
    config: configFile(pci),
    irq: textAttr(() => `${irqOf(pci)}\n`),
    ari_enabled: textAttr(() => `${ariEnabled(world.pci.bridgeAbove(pci)) ? 1 : 0}\n`),
    ...(identity.pcie && linkFiles()),
  };
}

/** What a Gen1 x1 link says; the models' link registers say the same. */
function linkFiles(): Entries {
  return {
    current_link_speed: textAttr(() => '2.5 GT/s PCIe\n'),
    current_link_width: textAttr(() => '1\n'),
    max_link_speed: textAttr(() => '2.5 GT/s PCIe\n'),
    max_link_width: textAttr(() => '1\n'),
  };
}

/** 'pci:v00001234d000011E8sv…' */
export function modalias(pci: PciDev): string {
  const { identity } = pci.fn;
  const up = (value: number, digits: number): string =>
    value.toString(16).toUpperCase().padStart(digits, '0');
  const cls = up(identity.classCode, 6);
  return (
    `pci:v${up(identity.vendor, 8)}d${up(identity.device, 8)}` +
    `sv${up(identity.subsystemVendor ?? 0, 8)}sd${up(identity.subsystem ?? 0, 8)}` +
    `bc${cls.slice(0, 2)}sc${cls.slice(2, 4)}i${cls.slice(4)}`
  );
}

function uevent(pci: PciDev): string {
  const { identity } = pci.fn;
  const id = (a: number, b: number): string =>
    [a, b].map((n) => n.toString(16).toUpperCase().padStart(4, '0')).join(':');
  return (
    (pci.driver ? `DRIVER=${pci.driver.name}\n` : '') +
    `PCI_CLASS=${identity.classCode.toString(16).toUpperCase()}\n` +
    `PCI_ID=${id(identity.vendor, identity.device)}\n` +
    `PCI_SUBSYS_ID=${id(identity.subsystemVendor ?? 0, identity.subsystem ?? 0)}\n` +
    `PCI_SLOT_NAME=${pci.name}\nMODALIAS=${modalias(pci)}\n`
  );
}

/** The line of its pin, or the first vector while MSI is on. @kernel irq_show */
function irqOf({ irqs, fn }: PciDev): number {
  const { vectors } = irqs;
  return vectors?.kind === 'msi' ? vectors.numbers[0]! : fn.config.read(PCI_INTERRUPT_LINE, 1);
}

/** Real configuration space; without CAP_SYS_ADMIN only the header can be read. */
export function configFile(pci: PciDev): AttrNode {
  const { config } = pci.fn;
  return {
    kind: 'attr',
    mode: 0o644,
    size: config.size,
    read(task) {
      const bytes = config.bytes.slice(0, task.capable(CAP_SYS_ADMIN) ? config.size : 64);
      return pci.fn.present ? bytes : bytes.fill(0xff);
    },
    write(_task, data, offset) {
      const end = Math.min(offset + data.length, config.size);
      for (let at = offset; at < end;) {
        const width = [4, 2, 1].find((w) => at % w === 0 && at + w <= end)!;
        let value = 0;
        for (let n = 0; n < width; n++) value += data[at - offset + n]! * 2 ** (8 * n);
        pci.fn.writeConfig(at, width, value);
        at += width;
      }
      return Math.max(0, end - offset);
    },
  };
}

function stateFiles(world: SysfsWorld, pci: PciDev): Entries {
  return {
    enable: writableAttr(
      () => `${isEnabled(world, pci) ? 1 : 0}\n`,
      (text, task) => setEnable(pci, text, task),
    ),
    numa_node: textAttr(() => `${pci.numaNode}\n`),
    local_cpus: textAttr(() => 'ff\n'),
    local_cpulist: textAttr(() => '0-7\n'),
    dma_mask_bits: textAttr(() => '32\n'),
    consistent_dma_mask_bits: textAttr(() => '32\n'),
    power_state: textAttr(() => `${pci.fn.powerState === 0 ? 'D0' : `D${pci.fn.powerState}`}\n`),
    ...kernelFiles(pci),
    ...(pci.fn.resetMethods.length > 0 && {
      reset: writableAttr(undefined, (text) => resetByHand(pci, text)),
      reset_method: textAttr(
        () => `${pci.fn.resetMethods.map((how) => RESET_METHODS[how]).join(' ')}\n`,
      ),
    }),
    remove: writableAttr(undefined, (text) => removeByHand(world, pci, text)),
    rescan: rescanFile(world, world.pci.bridgeAbove(pci)),
  };
}

/** Waits until the device's user has let go of it. @kernel remove_store */
function removeByHand(world: SysfsWorld, pci: PciDev, text: string): Outcome<Status> {
  const yes = parseUnsigned(text, Number.MAX_SAFE_INTEGER);
  if (isErrno(yes)) return yes;
  return yes === 0 ? undefined : world.pci.remove(pci);
}

function isEnabled(world: SysfsWorld, pci: PciDev): boolean {
  if (pci.driver && !pci.driver.driverManagedDma) return true;
  return (world.vfio.deviceOf(pci.dev)?.openCount ?? 0) > 0 || pci.enabledByHand;
}

const DECODE = 0x3;

/** @kernel enable_store */
function setEnable(pci: PciDev, text: string, task: Task): Status {
  if (!task.capable(CAP_SYS_ADMIN)) return refuse(EPERM, 'enabling a device needs CAP_SYS_ADMIN');
  const value = text.trim();
  if (!/^\d+$/.test(value)) return refuse(EINVAL, 'write 0 or 1', { text: value });
  if (pci.driver) return refuse(EBUSY, 'the device has a driver', { driver: pci.driver.name });
  const on = Number(value) !== 0;
  if (!on && !pci.enabledByHand) return refuse(EIO, 'the device is not enabled');
  pci.enabledByHand = on;
  const command = pci.fn.command & ~DECODE;
  pci.fn.writeConfig(PCI_COMMAND, 2, on ? command | DECODE : command);
  return undefined;
}

/** @kernel reset_store */
function resetByHand(pci: PciDev, text: string): Status {
  if (Number(text.trim() || 'x') !== 1) return refuse(EINVAL, 'write 1 to reset the function');
  const rc = resetPrepare(pci.dev);
  if (rc) return rc;
  const reset = pci.fn.resetFunction();
  resetDone(pci.dev);
  return reset;
}

/** driver_override holds at most a page. */
const MAX_OVERRIDE = 4096;

function driverFiles(pci: PciDev): Entries {
  return {
    driver_override: writableAttr(
      () => `${pci.driverOverride ?? '(null)'}\n`,
      (text) => setOverride(pci, text),
    ),
    ...(pci.driver && {
      driver: link(relative(pci.sysPath, `/sys/bus/pci/drivers/${pci.driver.name}`)),
    }),
  };
}

function setOverride(pci: PciDev, text: string): Result<undefined, 'EINVAL'> {
  if (text.length >= MAX_OVERRIDE) return refuse(EINVAL, 'a driver name is shorter than a page');
  const end = text.search(/[\n\0]/);
  const name = end < 0 ? text : text.slice(0, end);
  pci.driverOverride = name === '' ? undefined : name;
  return undefined;
}

function linksOf(world: SysfsWorld, pci: PciDev): Entries {
  const here = pci.sysPath;
  const to = (target: string): Node => link(relative(here, target));
  const iommu = pci.dev.iommu?.iommuDev;
  const { iommuGroup } = pci.dev;
  const vfs = world.pci.vfsOf(pci);
  const { physfn } = pci.slot;
  return {
    subsystem: to('/sys/bus/pci'),
    iommu_group: iommuGroup && to(`/sys/kernel/iommu_groups/${iommuGroup.id}`),
    iommu: iommu && to(`/sys/devices/virtual/iommu/${iommu.name}`),
    physfn: physfn && to(sysPathOf(physfn)),
    ...Object.fromEntries(vfs.map((vf, n) => [`virtfn${n}`, to(vf.sysPath)])),
  };
}
