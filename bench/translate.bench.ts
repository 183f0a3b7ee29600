/**
 * Requests through a VT-d unit with everything in place: context entry, PASID entry, IOTLB, 4-level walk, in the
 * tables the driver wrote. bench/c/translate.c is a direct-mapped cache over a bare walk, without any check.
 *
 * The unit has served 64 devices and several domains before, so that nothing is specialised for one.
 */
import { isErrno, type Result } from '../src/base/errno.ts';
import { KernelEnv } from '../src/base/kernel-env.ts';
import { attachGroup } from '../src/core/attach/attach.ts';
import { Device } from '../src/core/contract/device.ts';
import type { Domain } from '../src/core/contract/domain.ts';
import { pagingDomainAlloc } from '../src/core/map/domain-alloc.ts';
import { IommuCore } from '../src/core/contract/iommu-core.ts';
import { mapGranules } from '../src/core/map/map.ts';
import { deviceClaimDmaOwner } from '../src/core/group/ownership.ts';
import { probeDevice } from '../src/core/probe/probe.ts';
import { deviceRegister } from '../src/core/probe/register.ts';
import { createIntelDriver, type IntelUnitConfig } from '../src/drivers/intel/driver/driver.ts';
import { createPciGrouping } from '../src/drivers/pci-group.ts';
import { PciBus } from '../src/pci/topology.ts';
import { Ram } from '../src/pt/ram.ts';
import { shuffled, type Benchmark } from './harness.ts';

const PAGES = 1 << 18;
const BASE = 0x1234_0000;
const READ_WRITE = 3;
const HITS = 1 << 20;
/** Granules of the working set that fits the IOTLB: 8 MiB. */
const HOT = 2048;
const DEVICES = 64;
const order = shuffled(PAGES);
const target = (n: number): number => 0x10_0000 + 2 * n;

function must<T>(result: Result<T>): T {
  if (isErrno(result)) throw new Error(result.name);
  return result;
}
function ok(status: unknown): void {
  if (status !== undefined) throw new Error(String(status));
}

/** A unit whose 64 devices share one domain with 1 GiB mapped page by page. */
function machine(config: IntelUnitConfig) {
  const core = new IommuCore(new KernelEnv(), new Ram(64 << 20));
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
    domain ??= must(pagingDomainAlloc(dev));
    ok(attachGroup(domain, dev.iommuGroup!));
  }
  for (let n = 0; n < PAGES; n++) {
    const run = { iovaG: BASE + n, paG: target(n), lengthG: 1, prot: READ_WRITE };
    ok(mapGranules(domain!, run));
  }
  return unit;
}

const legacy = machine({ scalable: false });
const second = machine({ firstStage: false });
const first = machine({});
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
];
