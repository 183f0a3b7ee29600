/**
 * Requests through a VT-d unit with everything in place: context entry, PASID entry, IOTLB, 4-level walk, in the
 * tables the driver wrote. bench/c/translate.c makes the same checks of a request, an entry and an item.
 *
 * The unit has served 64 devices and several domains before, so that nothing is specialised for one.
 */
import { isErrno, type Result } from '../src/base/errno.ts';
import { KernelEnv } from '../src/base/kernel-env.ts';
import { attachGroup } from '../src/core/attach/attach.ts';
import { Device } from '../src/core/contract/device.ts';
import { IOMMU_DOMAIN_NESTED, type Domain } from '../src/core/contract/domain.ts';
import { IOMMU_HWPT_ALLOC_NEST_PARENT } from '../src/core/contract/driver.ts';
import {
  nestedDomainAlloc,
  pagingDomainAlloc,
  pagingDomainAllocFlags,
} from '../src/core/map/domain-alloc.ts';
import { IommuCore } from '../src/core/contract/iommu-core.ts';
import { mapGranules } from '../src/core/map/map.ts';
import { deviceClaimDmaOwner } from '../src/core/group/ownership.ts';
import { probeDevice } from '../src/core/probe/probe.ts';
import { deviceRegister } from '../src/core/probe/register.ts';
import { createIntelDriver, type IntelUnitConfig } from '../src/drivers/intel/driver/driver.ts';
import { createPciGrouping } from '../src/drivers/pci-group.ts';
import { PciBus } from '../src/pci/topology.ts';
import { createPageTable } from '../src/pt/create.ts';
import { x86_64 } from '../src/pt/formats/x86-64.ts';
import { Ram } from '../src/pt/ram.ts';
import { shuffled, type Benchmark } from './harness.ts';

const PAGES = 1 << 18;
const BASE = 0x1234_0000;
const READ_WRITE = 3;
const HITS = 1 << 20;
/** Granules of the working set that fits the IOTLB: 8 MiB. */
const HOT = 2048;
const DEVICES = 64;
/** Frames behind a guest's top table in which all its others lie: one for 512 pages, and some above. */
const GUEST_FRAMES = PAGES / 512 + 8;
const order = shuffled(PAGES);
const target = (n: number): number => 0x10_0000 + 2 * n;

function must<T>(result: Result<T>): T {
  if (isErrno(result)) throw new Error(result.name);
  return result;
}
function ok(status: unknown): void {
  if (status !== undefined) throw new Error(String(status));
}

/** What the domain of a machine's devices is made of, and how much RAM there is for tables. */
interface Kind {
  readonly make: (dev: Device) => Domain;
  readonly ramBytes: number;
}
const PAGING: Kind = { make: (dev) => must(pagingDomainAlloc(dev)), ramBytes: 64 << 20 };

/** A unit whose 64 devices share one domain with 1 GiB mapped page by page. */
function machine(config: IntelUnitConfig, { make, ramBytes } = PAGING) {
  const core = new IommuCore(new KernelEnv(), new Ram(ramBytes));
  const pci = createPciGrouping();
  const { instance, ops, unit } = must(createIntelDriver(core, pci).addUnit(config));
  ok(deviceRegister(core, instance, ops));
  let domain: Domain | undefined;
  for (let n = 0; n < DEVICES; n++) {
    const bus = new PciBus({ number: n });
    const fn = bus.add({ slot: 1, type: 'endpoint' });
    const dev = new Device(core, { name: fn.name, bus: 'pci' });
    pci.bind(dev, fn);
    ok(probeDevice(dev));
    ok(deviceClaimDmaOwner(dev, core));
    domain ??= make(dev);
    ok(attachGroup(domain, dev.iommuGroup!));
  }
  for (let n = 0; n < PAGES && domain!.type !== IOMMU_DOMAIN_NESTED; n++) {
    const run = { iovaG: BASE + n, paG: target(n), lengthG: 1, prot: READ_WRITE };
    ok(mapGranules(domain!, run));
  }
  return unit;
}

/** A guest's tables with the same 1 GiB, in RAM, in a second stage that maps each of their frames and pages to itself. */
function nestedDomain(dev: Device): Domain {
  const { ram } = dev.core;
  const features = ['sign-extend'] as const;
  const guest = must(createPageTable(x86_64, ram, { vaLg2: 48, oaLg2: 46, features }));
  for (let n = 0; n < PAGES; n++) ok(guest.map(BASE + n, target(n), 1, READ_WRITE));
  const parent = must(pagingDomainAllocFlags(dev, IOMMU_HWPT_ALLOC_NEST_PARENT));
  const same = (granule: number) =>
    ok(mapGranules(parent, { iovaG: granule, paG: granule, lengthG: 1, prot: READ_WRITE }));
  for (let frame = 0; frame < guest.topPfn + GUEST_FRAMES; frame++) same(frame);
  for (let n = 0; n < PAGES; n++) same(target(n));
  // struct iommu_hwpt_vtd_s1: flags, address of the top table, width.
  const view = new DataView(new ArrayBuffer(24));
  view.setBigUint64(8, BigInt(guest.topPfn) << 12n, true);
  view.setUint32(16, 48, true);
  const bytes = new Uint8Array(view.buffer);
  const data = { type: 1, length: bytes.length, copy: () => bytes };
  return must(nestedDomainAlloc(dev, parent, 0, data));
}

const legacy = machine({ scalable: false });
const second = machine({ firstStage: false });
const first = machine({});
const nested = machine({}, { make: nestedDomain, ramBytes: 64 << 20 });
const RID = 1 << 3;

// Sums are integers, as in C: a sum of doubles is a chain of its own, longer than a hit.
function hits(unit: typeof first, devices: number): number {
  let sum = 0;
  for (let i = 0; i < HITS; i++) {
    const rid = RID | ((i % devices) << 8);
    const page = BASE + (order[i & (PAGES - 1)]! & (HOT - 1));
    sum = (sum + (unit.translate(rid, -1, page, (i & 1) === 0) | 0)) | 0;
  }
  return sum;
}
function hitsOfOne(): number {
  let sum = 0;
  for (let i = 0; i < HITS; i++) {
    const page = BASE + (order[i & (PAGES - 1)]! & (HOT - 1));
    sum = (sum + (first.translate(RID, -1, page, false) | 0)) | 0;
  }
  return sum;
}
function misses(unit: typeof first): number {
  let sum = 0;
  for (let i = 0; i < PAGES; i++) {
    sum = (sum + (unit.translate(RID, -1, BASE + order[i]!, false) | 0)) | 0;
  }
  return sum;
}

let hotSum = 0;
for (let i = 0; i < HITS; i++) {
  hotSum = (hotSum + target(order[i & (PAGES - 1)]! & (HOT - 1))) | 0;
}
let allSum = 0;
for (let n = 0; n < PAGES; n++) allSum = (allSum + target(n)) | 0;

function hotIsRight(sum: number): void {
  if (sum !== hotSum) throw new Error('a hit was wrong');
}
function allIsRight(sum: number): void {
  if (sum !== allSum) throw new Error('a miss was wrong');
}

// prettier-ignore
export const benchmarks: Benchmark[] = [
  { id: 'hit', title: 'IOTLB hit, 8 MiB, one device', aim: 4, ops: HITS, run: hitsOfOne, verify: hotIsRight },
  { id: 'hit-devices', title: 'IOTLB hit, 8 MiB, 64 devices in turn, reads and writes', ops: HITS, run: () => hits(second, DEVICES), verify: hotIsRight },
  { id: 'miss-legacy', title: 'translate random in 1 GiB, legacy mode', ops: PAGES, run: () => misses(legacy), verify: allIsRight },
  { id: 'miss-second', title: 'translate random in 1 GiB, second stage', ops: PAGES, run: () => misses(second), verify: allIsRight },
  { id: 'miss-first', title: 'translate random in 1 GiB, first stage', ops: PAGES, run: () => misses(first), verify: allIsRight },
  { id: 'miss-nested', title: 'translate random in 1 GiB, nested, guest tables in RAM', aim: 1.5, ops: PAGES, run: () => misses(nested), verify: allIsRight },
];
