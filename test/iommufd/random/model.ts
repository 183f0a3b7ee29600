/**
 * What holders and pins there must be, counted anew from who holds what (iommufd.md 1.5, 3.4), beside the counters that
 * iommufd keeps.
 */
import { Bug } from '../../../src/base/bug.ts';
import { OpenFile, type SharedPages } from '../../../src/base/file.ts';
import { hiWord, loWord } from '../../../src/base/word-pair.ts';
import { Access } from '../../../src/iommufd/access.ts';
import type { Area } from '../../../src/iommufd/io-pagetable/area.ts';
import { IommufdDevice } from '../../../src/iommufd/device-object.ts';
import { FaultQueue } from '../../../src/iommufd/fault.ts';
import { Hwpt, HwptNested, HwptPaging } from '../../../src/iommufd/hwpt-object.ts';
import { HwQueue } from '../../../src/iommufd/hw-queue.ts';
import { Ioas } from '../../../src/iommufd/ioas.ts';
import type { IommufdObject } from '../../../src/iommufd/object.ts';
import type { Pages } from '../../../src/iommufd/io-pagetable/pages.ts';
import { Vdevice } from '../../../src/iommufd/vdevice.ts';
import { Veventq } from '../../../src/iommufd/veventq.ts';
import { Viommu } from '../../../src/iommufd/viommu-object.ts';
import { selftestAccessOf } from './picks.ts';
import type { Frames } from '../../../src/testing/iommufd/frames.ts';
import type { TestTask } from '../../../src/testing/iommufd/process.ts';

export interface Holders {
  readonly tasks: readonly TestTask[];
  /** Pages of vIOMMUs that programs have mapped, once per mapping. */
  readonly mapped: readonly SharedPages[];
  readonly frames: Frames;
}

export class Model {
  readonly #holders: Holders;
  readonly #users = new Map<IommufdObject, number>();
  /** Pages that must be pinned: by index in their pages object. */
  readonly #pinned = new Map<Pages, Set<number>>();
  readonly #accesses = new Map<Area, number>();
  readonly #locks = new Map<Area, number>();
  readonly #handles = new Set<object>();
  /** What a vIOMMU lists, less what there is. */
  readonly #children = new Map<Viommu, number>();
  /** Of the files that programs have open. */
  readonly #behindFiles = new Set<object>();

  constructor(holders: Holders) {
    this.#holders = holders;
  }
  /** Count for these objects, of all contexts, and compare. */
  check(objects: readonly IommufdObject[]): void {
    this.#users.clear();
    this.#pinned.clear();
    this.#accesses.clear();
    this.#locks.clear();
    this.#children.clear();
    this.#handles.clear();
    this.#behindFiles.clear();
    for (const task of this.#holders.tasks) {
      for (const file of task.fds.values()) {
        if (file instanceof OpenFile) this.#behindFiles.add(file.priv);
      }
    }
    for (const object of objects) this.#count(object);
    for (const file of this.#behindFiles) this.#pinnedByTest(file);
    for (const object of objects) this.#compare(object);
    for (const [{ id }, extra] of this.#children) {
      if (extra !== 0) throw new Bug(`vIOMMU ${id} has ${extra} in its lists that are gone`);
    }
    this.#comparePins();
  }

  #count(object: IommufdObject): void {
    this.#hold(object, this.#behindFiles.has(object) ? 2 : 1);
    if (object instanceof Hwpt) this.#countHwpt(object);
    else if (object instanceof IommufdDevice) this.#countDevice(object);
    else if (object instanceof Access) {
      // The driver, or the hardware queue that made it.
      this.#hold(object, 1);
      if (object.ioas) this.#hold(object.ioas, 1);
    } else if (object instanceof Viommu) {
      this.#hold(object.hwpt, 1);
      const { pages } = object.priv as { pages?: SharedPages };
      this.#hold(object, this.#holders.mapped.filter((mapped) => mapped === pages).length);
      this.#children.set(object, (this.#children.get(object) ?? 0) + childrenOf(object));
    } else if (object instanceof Vdevice) {
      this.#hold(object.viommu, 1);
      this.#hold(object.idev, 1);
      this.#isChild(object.viommu, object.idev.vdev === object);
    } else if (object instanceof Veventq) {
      this.#hold(object.viommu, 1);
      this.#isChild(object.viommu, object.viommu.eventQueues.includes(object));
    }
    if (object instanceof HwQueue) this.#countQueue(object);
    else if (object instanceof Ioas) this.#pinnedByTables(object);
  }
  /** One of what the vIOMMU has in its lists. */
  #isChild(viommu: Viommu, isThere: boolean): void {
    if (!isThere) throw new Bug('a vDEVICE or event queue is not known to its parent');
    this.#children.set(viommu, (this.#children.get(viommu) ?? 0) - 1);
  }
  #countHwpt(hwpt: Hwpt): void {
    if (hwpt instanceof HwptPaging) this.#hold(hwpt.ioas, 1);
    if (hwpt instanceof HwptNested) this.#hold(hwpt.holder, 1);
    if (hwpt.fault) this.#hold(hwpt.fault, 1);
  }
  #countDevice(device: IommufdDevice): void {
    this.#hold(device, 1);
    const { igroup, dev } = device;
    for (const [pasid, { hwpt, handle, devices }] of igroup?.attachments ?? []) {
      this.#handles.add(handle);
      if (!devices.has(device)) continue;
      this.#hold(device, 1);
      this.#hold(hwpt, 1);
      const { group } = igroup!;
      if (!group) continue;
      const there = pasid === 0 ? group.domain : group.pasidArray.get(pasid)?.domain;
      if (there !== hwpt.domain) throw new Bug(`${dev.name} is not on hwpt ${hwpt.id} (${pasid})`);
    }
  }
  #countQueue(queue: HwQueue): void {
    this.#hold(queue.viommu, 1);
    if (queue.dependsOn) this.#hold(queue.dependsOn, 1);
    const { access, iova, length } = queue.pinned;
    this.#pinnedByAccess(access, iova, length, this.#locks);
  }

  #pinnedByTables({ iopt }: Ioas): void {
    for (const area of iopt.areas.values()) {
      if (!area.storageDomain || area.pages.isDmabuf) continue;
      const indexes = this.#indexes(area.pages);
      for (let index = area.firstIndex; index <= area.lastIndex; index++) indexes.add(index);
    }
  }
  #pinnedByTest(file: object): void {
    const { access, items } = selftestAccessOf(file) ?? {};
    if (!access) return;
    for (const { iova, length } of items?.values() ?? []) {
      this.#pinnedByAccess(access, iova, length, undefined);
    }
  }
  #pinnedByAccess(
    access: Access,
    iova: bigint,
    length: bigint,
    locks: Map<Area, number> | undefined,
  ): void {
    const { iopt } = access.ioas!;
    const met = new Set<Area>();
    for (let at = iova; at < iova + length; at += 4096n) {
      const area = iopt.areas.find(hiWord(at), loWord(at));
      if (!area) throw new Bug('an access has pinned what is not mapped');
      this.#indexes(area.pages).add(area.indexAt(hiWord(at), loWord(at)));
      met.add(area);
    }
    for (const area of met) {
      this.#accesses.set(area, (this.#accesses.get(area) ?? 0) + 1);
      if (locks) locks.set(area, (locks.get(area) ?? 0) + 1);
    }
  }
  #indexes(pages: Pages): Set<number> {
    let indexes = this.#pinned.get(pages);
    if (!indexes) this.#pinned.set(pages, (indexes = new Set()));
    return indexes;
  }
  #hold(object: IommufdObject, count: number): void {
    this.#users.set(object, (this.#users.get(object) ?? 0) + count);
  }

  #compare(object: IommufdObject): void {
    const { id, users } = object;
    const wanted = this.#users.get(object);
    if (users !== wanted) {
      throw new Bug(`${object.constructor.name} ${id} has ${users} users, should have ${wanted}`);
    }
    if (object instanceof FaultQueue) this.#compareFaults(object);
    if (!(object instanceof Ioas)) return;
    for (const area of object.iopt.areas.values()) {
      const accesses = this.#accesses.get(area) ?? 0;
      const locks = this.#locks.get(area) ?? 0;
      if (area.numAccesses !== accesses || area.numLocks !== locks) {
        throw new Bug(`an area counts ${area.numAccesses} pins of accesses, there are ${accesses}`);
      }
      const pinned = this.#pinned.get(area.pages)?.size ?? 0;
      if (area.pages.npinned !== pinned) {
        throw new Bug(`${area.pages.npinned} pages are charged, ${pinned} are in use`);
      }
    }
  }
  /** What waits in a queue came through an attachment that is still there. */
  #compareFaults(fault: FaultQueue): void {
    const waiting = [...fault.deliver];
    for (const [, group] of fault.awaiting.entries()) waiting.push(group);
    if (waiting.every((group) => this.#handles.has(group.attachHandle))) return;
    throw new Bug(`fault queue ${fault.id} has faults of what is not attached any more`);
  }
  /** Each frame has a pin for each pages object that uses it. */
  #comparePins(): void {
    const pins = new Map<number, number>();
    for (const [pages, indexes] of this.#pinned) {
      for (const index of indexes) {
        const pfn = pages.pfn(index);
        pins.set(pfn, (pins.get(pfn) ?? 0) + 1);
      }
    }
    const { count } = this.#holders.frames;
    for (const [pfn, wanted] of pins) {
      if (count.get(pfn) !== wanted) {
        throw new Bug(`frame ${pfn} has ${count.get(pfn) ?? 0} pins, should have ${wanted}`);
      }
    }
    if (count.size !== pins.size) throw new Bug(`${count.size - pins.size} frames stay pinned`);
  }
}

function childrenOf(viommu: Viommu): number {
  return viommu.vdevices.size + viommu.eventQueues.length;
}
