/**
 * Which PCI devices share a group: DMA aliases and ACS (core.md 2.3).
 *
 * Made once per machine and used by every driver of PCI devices. A device is bound to its place in the tree; a group
 * made because of a bridge is remembered for that bridge, so that the partition does not depend on who came first.
 */
import { EINVAL, isErrno, type Result } from '../base/errno.ts';
import { refuse } from '../base/refuse.ts';
import type { Device } from '../core/contract/device.ts';
import type { IommuGroup } from '../core/contract/group.ts';
import { groupAlloc, groupRefGet } from '../core/group/group-ops.ts';
import { acsEnabled, acsPathEnabled, REQ_ACS_FLAGS } from '../pci/acs.ts';
import { areDmaAliases, dmaAliases } from '../pci/alias.ts';
import type { PciBus, PciFunction } from '../pci/topology.ts';

/** PCI functions and their groups. @kernel pci_device_group */
export interface PciGrouping {
  /** This device is that function. */
  bind(dev: Device, fn: PciFunction): void;
  /** The device is gone. */
  unbind(dev: Device): void;
  /** Undefined for a device that is no PCI function. */
  functionOf(dev: Device): PciFunction | undefined;
  /** Undefined for a function the kernel does not know. */
  deviceOf(fn: PciFunction): Device | undefined;
  /** For IommuOps.deviceGroup: an existing group with a reference taken, or a new one. */
  deviceGroup(dev: Device): Result<IommuGroup>;
}

/** Grouping for one machine. */
export function createPciGrouping(): PciGrouping {
  return new Grouping();
}

class Grouping implements PciGrouping {
  readonly #functions = new Map<Device, PciFunction>();
  readonly #devices = new Map<PciFunction, Device>();
  /** The group that was made on behalf of a function, as long as it has members. */
  readonly #madeFor = new Map<PciFunction, IommuGroup>();

  bind(dev: Device, fn: PciFunction): void {
    this.#functions.set(dev, fn);
    this.#devices.set(fn, dev);
  }
  unbind(dev: Device): void {
    const fn = this.#functions.get(dev);
    this.#functions.delete(dev);
    if (fn !== undefined && this.#devices.get(fn) === dev) this.#devices.delete(fn);
  }
  functionOf(dev: Device): PciFunction | undefined {
    return this.#functions.get(dev);
  }
  deviceOf(fn: PciFunction): Device | undefined {
    return this.#devices.get(fn);
  }

  /** @kernel pci_device_group */
  deviceGroup(dev: Device): Result<IommuGroup> {
    const fn = this.#functions.get(dev);
    if (fn === undefined) {
      dev.core.env.warn('device-group-not-pci', `${dev.name} is not a PCI device`);
      return refuse(EINVAL, 'only PCI devices are grouped by aliases and ACS', {
        device: dev.name,
      });
    }
    const place = this.#place(fn);
    if ('group' in place) return groupRefGet(place.group);
    const group = groupAlloc(dev.core);
    if (!isErrno(group)) this.#madeFor.set(place.top, group);
    return group;
  }

  /** A group to join, or the topmost function that shares everything with this one. */
  #place(fn: PciFunction): { group: IommuGroup } | { top: PciFunction } {
    let top = fn;
    for (const alias of dmaAliases(fn)) {
      top = alias.by;
      const group = this.#groupOf(top);
      if (group) return { group };
    }
    for (let bus: PciBus = top.bus; bus.parent !== undefined; bus = bus.parent) {
      if (bus.bridge === undefined) continue;
      if (acsPathEnabled(bus.bridge, REQ_ACS_FLAGS)) break;
      top = bus.bridge;
      const group = this.#groupOf(top);
      if (group) return { group };
    }
    const visited = new Set<number>();
    const group = this.#aliasGroup(top, visited) ?? this.#functionGroup(top, visited);
    return group ? { group } : { top };
  }

  #aliasGroup(fn: PciFunction, visited: Set<number>): IommuGroup | undefined {
    if (visited.has(fn.devfn)) return undefined;
    visited.add(fn.devfn);
    const own = this.#groupOf(fn);
    if (own) return own;
    for (const other of fn.bus.functions) {
      if (other === fn || !areDmaAliases(fn, other)) continue;
      const group = this.#aliasGroup(other, visited) ?? this.#functionGroup(other, visited);
      if (group) return group;
    }
    return undefined;
  }

  #functionGroup(fn: PciFunction, visited: Set<number>): IommuGroup | undefined {
    if (!fn.multifunction || acsEnabled(fn, REQ_ACS_FLAGS)) return undefined;
    for (const other of fn.bus.functions) {
      if (other === fn || other.devfn >> 3 !== fn.devfn >> 3) continue;
      if (acsEnabled(other, REQ_ACS_FLAGS)) continue;
      const group = this.#aliasGroup(other, visited);
      if (group) return group;
    }
    return undefined;
  }

  #groupOf(fn: PciFunction): IommuGroup | undefined {
    const group = this.#devices.get(fn)?.iommuGroup;
    if (group) return group;
    const made = this.#madeFor.get(fn);
    if (made && made.devices.length > 0) return made;
    if (made) this.#madeFor.delete(fn);
    return undefined;
  }
}
