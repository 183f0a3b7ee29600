/**
 * What every IOMMU driver must do, whatever its tables look like (core.md 3 to 7; formats.md 12), as cases with names. It
 * needs no test runner: a case throws where the driver is wrong.
 */
import type { TraceEvent } from '../../base/events.ts';
import { isErrno } from '../../base/errno.ts';
import { attachGroup, detachGroup, replaceGroupHandle } from '../../core/attach/attach.ts';
import {
  attachDevicePasid,
  detachDevicePasid,
  replaceDevicePasid,
} from '../../core/attach/pasid.ts';
import type { Device } from '../../core/contract/device.ts';
import type { Domain } from '../../core/contract/domain.ts';
import type { IommuOps } from '../../core/contract/driver.ts';
import type { IommuCore } from '../../core/contract/iommu-core.ts';
import type { RemappingUnit } from '../../core/contract/remapping-unit.ts';
import { deviceClaimDmaOwner, deviceReleaseDmaOwner } from '../../core/group/ownership.ts';
import { domainFree, pagingDomainAlloc } from '../../core/map/domain-alloc.ts';
import { iommuMap, iommuUnmap } from '../../core/map/map.ts';
import { stateDigest } from '../../core/state-digest.ts';
import { newGather } from '../../pt/gather.ts';
import { IOMMU_READ, IOMMU_WRITE } from '../../pt/page-table.ts';
import { insist, insistEqual } from '../base/insist.ts';
import { done, must } from '../base/must.ts';
import type { SuiteCase } from '../base/suite-case.ts';

/** A driver with one instance, in a machine of its own. */
export interface DriverMachine {
  readonly core: IommuCore;
  readonly ops: IommuOps;
  readonly unit: RemappingUnit;
  /** What has been emitted so far. */
  readonly events: readonly TraceEvent[];
  /** A probed device in a group of its own; index 4 and 5 are asked for. */
  device(index: number): { readonly dev: Device; readonly requesterId: number };
  /** Why PASIDs, or stale translations, are not to be tested here; undefined: they are. */
  readonly noPasids?: string;
  readonly noCaches?: string;
}

const RW = IOMMU_READ | IOMMU_WRITE;
/** Inside the aperture of every driver. */
const IOVA = 0x200_0000n;
const PAGE = 0x1000n;
const PHYS = 0x70_0000n;
const PASID = 70;
/** What remembers an attach; one each. */
const handle = () => ({ domain: undefined });

/** All cases; each makes a machine of its own. */
export function driverCases(make: () => DriverMachine): SuiteCase[] {
  const { noPasids, noCaches } = make();
  return Object.entries(CASES).map(([name, check]) => {
    const skip = check === servesStale ? noCaches : check === servesPasids ? noPasids : undefined;
    return { name, ...(skip !== undefined && { skip }), run: () => check(new Scene(make())) };
  });
}

const CASES: Readonly<Record<string, (scene: Scene) => void>> = {
  'a driver refuses a blocked device and reports the fault': reportsFaults,
  'a driver translates every byte of what is mapped, and nothing before or behind': translates,
  'a driver refuses a write to what is mapped read-only': refusesWrites,
  'a driver never serves what was unmapped': forgets,
  'a driver may serve a stale translation between unmap and sync, never after': servesStale,
  'a driver passes everything through in its identity domain': passesThrough,
  'a driver replaces a domain at once': replaces,
  'a driver keeps devices apart, and lets them share a domain': keepsApart,
  'a test of compatibility changes nothing and logs nothing': testsQuietly,
  'a driver serves each PASID by its own domain, replaces and removes it': servesPasids,
  'a driver gives back everything it allocated': givesBack,
};

/** A device of the machine that a user owns: it is blocked. */
class Scene {
  readonly machine: DriverMachine;
  readonly dev: Device;
  readonly requesterId: number;

  constructor(machine: DriverMachine) {
    this.machine = machine;
    ({ dev: this.dev, requesterId: this.requesterId } = machine.device(4));
    done(deviceClaimDmaOwner(this.dev, machine));
  }
  /** Where a request ends up, in bytes; undefined when it is refused. */
  dma(iova: bigint, how: { write?: boolean; pasid?: number; rid?: number } = {}) {
    const { write = false, pasid = -1, rid = this.requesterId } = how;
    const { unit, noCaches } = this.machine;
    const lg2 = BigInt(unit.granuleLg2);
    const out = unit.translate(rid, pasid, Number(iova >> lg2), write);
    const explained = unit.explain(rid, pasid, iova, write);
    // Where nothing is cached, what is explained is what happens.
    if (noCaches !== undefined) insistEqual(explained.pa !== undefined, out >= 0, 'explain()');
    return out < 0 ? undefined : (BigInt(out) << lg2) | (iova & ((1n << lg2) - 1n));
  }
  /** The device on a domain with two pages. */
  attached(phys = PHYS): Domain {
    const domain = this.domain();
    done(attachGroup(domain, this.dev.iommuGroup!));
    done(iommuMap(domain, IOVA, phys, 2n * PAGE, RW));
    return domain;
  }
  domain(): Domain {
    return must(pagingDomainAlloc(this.dev));
  }
}

function reportsFaults(scene: Scene): void {
  insistEqual(scene.dma(IOVA, { write: true }), undefined, 'a write of a blocked device');
  const faults = scene.machine.events.filter((event) => event.kind === 'fault');
  insistEqual(
    faults.map(({ device, write, iova }) => [device.id, write, iova]),
    [[scene.dev.name, true, IOVA]],
    'faults',
  );
}
function translates(scene: Scene): void {
  scene.attached();
  const end = IOVA + 2n * PAGE;
  const seen = [
    scene.dma(IOVA),
    scene.dma(end - 1n, { write: true }),
    scene.dma(IOVA - 1n),
    scene.dma(end),
  ];
  insistEqual(seen, [PHYS, PHYS + 2n * PAGE - 1n, undefined, undefined], 'two pages');
}
function refusesWrites(scene: Scene): void {
  const domain = scene.attached();
  const at = IOVA + 4n * PAGE;
  done(iommuMap(domain, at, PHYS, PAGE, IOMMU_READ));
  insistEqual([scene.dma(at), scene.dma(at, { write: true })], [PHYS, undefined], 'read, write');
}
function forgets(scene: Scene): void {
  const domain = scene.attached();
  insistEqual(scene.dma(IOVA), PHYS, 'mapped');
  insistEqual(iommuUnmap(domain, IOVA, 2n * PAGE), 2n * PAGE, 'bytes unmapped');
  insistEqual(scene.dma(IOVA), undefined, 'unmapped');
  done(iommuMap(domain, IOVA, 2n * PHYS, PAGE, RW));
  insistEqual(scene.dma(IOVA), 2n * PHYS, 'mapped again');
}
function servesStale(scene: Scene): void {
  const domain = scene.attached();
  insistEqual(scene.dma(IOVA), PHYS, 'mapped');
  const gather = newGather();
  insistEqual(domain.pt?.unmap(Number(IOVA >> 12n), 1, gather), 1, 'granules unmapped');
  const { unit } = scene.machine;
  insistEqual(scene.dma(IOVA), PHYS, 'before the sync');
  insistEqual(unit.explain(scene.requesterId, -1, IOVA, false).pa, undefined, 'in the tables');
  domain.ops.iotlbSync?.(domain, gather);
  insistEqual(scene.dma(IOVA), undefined, 'after the sync');
}
function passesThrough(scene: Scene): void {
  const { identityDomain } = scene.machine.ops;
  if (!identityDomain) throw new Error('the driver has no identity domain');
  done(attachGroup(identityDomain, scene.dev.iommuGroup!));
  insistEqual(scene.dma(IOVA, { write: true }), IOVA, 'identity');
}
function replaces(scene: Scene): void {
  scene.attached();
  insistEqual(scene.dma(IOVA), PHYS, 'the first domain');
  const other = scene.domain();
  done(iommuMap(other, IOVA, 3n * PHYS, PAGE, RW));
  done(replaceGroupHandle(scene.dev.iommuGroup!, other, handle()));
  insistEqual([scene.dma(IOVA), scene.dma(IOVA + PAGE)], [3n * PHYS, undefined], 'the other');
}
function keepsApart(scene: Scene): void {
  const domain = scene.attached();
  const other = scene.machine.device(5);
  const both = () => [scene.dma(IOVA), scene.dma(IOVA, { rid: other.requesterId })];
  done(deviceClaimDmaOwner(other.dev, scene.machine));
  insistEqual(both(), [PHYS, undefined], 'the first attached');
  done(attachGroup(domain, other.dev.iommuGroup!));
  insistEqual(both(), [PHYS, PHYS], 'both attached');
  detachGroup(domain, scene.dev.iommuGroup!);
  insistEqual(both(), [undefined, PHYS], 'the first detached');
  insistEqual(iommuUnmap(domain, IOVA, 2n * PAGE), 2n * PAGE, 'bytes unmapped');
  insistEqual(both(), [undefined, undefined], 'unmapped');
}
function testsQuietly(scene: Scene): void {
  const { core, events } = scene.machine;
  const domain = scene.domain();
  const { ops } = domain;
  if (!ops.testDev) throw new Error('the driver has no testDev: nobody can ask before an attach');
  const [before, logged] = [stateDigest(core), events.length];
  const rc = ops.testDev(domain, scene.dev, 0, scene.dev.iommuGroup!.domain);
  insist(!isErrno(rc), 'a domain made for a device fits it');
  insistEqual([stateDigest(core), events.length], [before, logged], 'state and log');
}
function servesPasids(scene: Scene): void {
  scene.attached();
  const { dev } = scene;
  const [one, two] = [scene.domain(), scene.domain()];
  done(iommuMap(one, IOVA, 4n * PHYS, PAGE, RW));
  done(iommuMap(two, IOVA, 5n * PHYS, PAGE, RW));
  const write = (pasid: number) => scene.dma(IOVA, { write: true, pasid });
  done(attachDevicePasid(one, dev, PASID, handle()));
  const seen = [scene.dma(IOVA), write(PASID), write(PASID + 1)];
  insistEqual(seen, [PHYS, 4n * PHYS, undefined], 'none, one, another');
  done(replaceDevicePasid(two, dev, PASID, handle()));
  insistEqual(write(PASID), 5n * PHYS, 'replaced');
  insistEqual(iommuUnmap(two, IOVA, PAGE), PAGE, 'bytes unmapped');
  insistEqual(write(PASID), undefined, 'unmapped');
  detachDevicePasid(two, dev, PASID);
  insistEqual(scene.dma(IOVA), PHYS, 'without PASID');
}
function givesBack(scene: Scene): void {
  const { ram } = scene.machine.core;
  const before = ram.used;
  const domain = scene.domain();
  done(attachGroup(domain, scene.dev.iommuGroup!));
  done(iommuMap(domain, IOVA, PHYS, 16n * PAGE, RW));
  insistEqual(iommuUnmap(domain, IOVA, 16n * PAGE), 16n * PAGE, 'bytes unmapped');
  detachGroup(domain, scene.dev.iommuGroup!);
  domainFree(domain);
  insistEqual(ram.used, before, 'frames of RAM in use');
  deviceReleaseDmaOwner(scene.dev);
}
