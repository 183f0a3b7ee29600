/**
 * Attach and detach of a group, and building a large machine. There is no C baseline: the aims are absolute, 20 µs for
 * a group of 8, and 1 s (100 µs each) and 200 MiB for 10 000 devices.
 */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { isErrno, type Result } from '../src/base/errno.ts';
import { KernelEnv } from '../src/base/kernel-env.ts';
import { attachGroup, detachGroup } from '../src/core/attach/attach.ts';
import type { Domain } from '../src/core/contract/domain.ts';
import { pagingDomainAlloc } from '../src/core/map/domain-alloc.ts';
import { groupAlloc, groupRefGet } from '../src/core/group/group-ops.ts';
import type { IommuGroup } from '../src/core/contract/group.ts';
import { IommuCore } from '../src/core/contract/iommu-core.ts';
import { groupClaimDmaOwner } from '../src/core/group/ownership.ts';
import { createMockDriver } from '../src/drivers/mock/driver.ts';
import { Ram } from '../src/pt/ram.ts';
import type { Benchmark } from './harness.ts';

const GROUPS = 2000;
const MEMBERS = 5;
const ROUNDS = 1000;
const LARGEST_MACHINE = 200 * 2 ** 20;

function must<T>(result: Result<T>): T {
  if (isErrno(result)) throw new Error(result.name);
  return result;
}
function ok(status: unknown): void {
  if (status !== undefined) throw new Error(String(status));
}

/** Groups of a fixed size, on allocated default domains, behind one instance. */
function build(groups: number, members: number, testDev: boolean): IommuCore {
  const core = new IommuCore(new KernelEnv(testDev ? ['test-dev'] : []), new Ram(64 << 20));
  let last: IommuGroup | undefined;
  const mock = createMockDriver(core, {
    default: 'none',
    group() {
      if (last && last.devices.length < members) return groupRefGet(last);
      return (last = must(groupAlloc(core)));
    },
  });
  must(mock.registerInstance());
  for (let n = 0; n < groups * members; n++) {
    mock.addDevice({ config: { name: `0000:00:${n.toString(16)}`, bus: 'pci', pasidBits: 10 } });
  }
  return core;
}

function attachDetach(testDev: boolean): () => number {
  const core = build(1, 8, testDev);
  const group = core.groups.get(0)!;
  ok(groupClaimDmaOwner(group, core));
  const domain: Domain = must(pagingDomainAlloc(group.devices[0]!.dev));
  return () => {
    for (let n = 0; n < ROUNDS; n++) {
      ok(attachGroup(domain, group));
      detachGroup(domain, group);
    }
    return group.devices.length;
  };
}

let built: IommuCore | undefined;
let bytesBefore = 0;

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

/** Heap and arenas after a collection. */
function bytesUsed(): number {
  collectGarbage();
  const { heapUsed, arrayBuffers } = process.memoryUsage();
  return heapUsed + arrayBuffers;
}

export const benchmarks: Benchmark[] = [
  {
    id: 'attach-8',
    title: 'attach and detach a group of 8 devices',
    aimNs: 20_000,
    ops: ROUNDS,
    run: attachDetach(false),
  },
  {
    id: 'attach-8-tested',
    title: 'the same, each member tested first (test_dev)',
    aimNs: 20_000,
    ops: ROUNDS,
    run: attachDetach(true),
  },
  {
    id: 'build',
    title: `add a device, ${String(GROUPS * MEMBERS)} of them in ${String(GROUPS)} groups`,
    aimNs: 100_000,
    ops: GROUPS * MEMBERS,
    setup() {
      built = undefined;
      bytesBefore = bytesUsed();
    },
    run() {
      built = build(GROUPS, MEMBERS, true);
      return built.groups.size;
    },
    verify(groups) {
      if (groups !== GROUPS) throw new Error(`${String(groups)} groups`);
      const bytes = bytesUsed() - bytesBefore;
      if (bytes > LARGEST_MACHINE) throw new Error(`${String(bytes >> 20)} MiB for the machine`);
    },
  },
];
