/** MAP_DMA, UNMAP_DMA, GET_INFO and DIRTY_PAGES of type1, row by row: vfio.md 1.8 to 1.11. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  EACCES,
  EBUSY,
  EEXIST,
  EFAULT,
  EINVAL,
  ENOENT,
  ENOMEM,
  ENOSPC,
  EOVERFLOW,
  EPERM,
  isErrno,
} from '../../src/base/errno.ts';
import type { OpenFile } from '../../src/base/file.ts';
import { getDomainForDev, iovaToPhys } from '../../src/core/index.ts';
import * as v from '../../src/uapi/vfio.ts';
import { Client, EDU, machineOf } from '../../src/testing/machine/client.ts';
import { must } from '../../src/testing/base/must.ts';

const PAGE = 0x1000n;
const ALL = v.VFIO_DMA_UNMAP_FLAG_ALL;
const VADDR = v.VFIO_DMA_UNMAP_FLAG_VADDR;
const DIRTY = v.VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP;

function rig(type = 3): { client: Client; c: number; vaddr: bigint } {
  const client = new Client(machineOf());
  const { c } = client.container(type);
  return { client, c, vaddr: client.memory(0x10_0000) };
}

describe('MAP_DMA refuses, in this order (1.9)', () => {
  const top = (1n << 64n) - PAGE;
  test.for([
    ['an unreadable argument', {}, 'EFAULT'],
    ['argsz 31', { argsz: 31 }, 'EINVAL'],
    ['an unknown flag', { flags: 8 }, 'EINVAL'],
    ['size 0, even with wrong flags', { size: 0n, flags: 0 }, 'EINVAL'],
    [
      'an iova range that wraps, even with wrong flags',
      { iova: top, size: 2n * PAGE, flags: 0 },
      'EOVERFLOW',
    ],
    ['memory that wraps', { vaddr: top, size: 2n * PAGE }, 'EOVERFLOW'],
    ['no access', { flags: 0 }, 'EINVAL'],
    ['READ with VADDR', { flags: 5 }, 'EINVAL'],
    ['a misaligned size', { size: 0x1800n }, 'EINVAL'],
    ['a misaligned iova', { iova: 0x800n }, 'EINVAL'],
    ['a misaligned vaddr', { vaddr: 0x800n }, 'EINVAL'],
    ['VADDR without a mapping', { flags: 4 }, 'ENOENT'],
    ['a range in the MSI window', { iova: 0xfee0_0000n }, 'EINVAL'],
    ['a range beyond the aperture', { iova: 1n << 60n }, 'EINVAL'],
    ['memory that is not there', { vaddr: 0x7000_0000_0000n }, 'EFAULT'],
  ] as const)('MAP_DMA refuses in the order of the kernel: %s', ([what, given, errno]) => {
    const { client, c, vaddr } = rig();
    if (what === 'an unreadable argument') {
      expect(client.plain(c, v.VFIO_IOMMU_MAP_DMA, 0n)).toBe(EFAULT);
      return;
    }
    const values = { flags: 3, vaddr, iova: 0n, size: PAGE, ...given };
    const { rc } = client.call(c, v.VFIO_IOMMU_MAP_DMA, v.vfio_iommu_type1_dma_map, values);
    expect(isErrno(rc) && rc.name).toBe(errno);
    expect(client.machine.memory.pinTotal).toBe(0);
    expect(client.program.mm.lockedVm).toBe(0);
  });
  test('MAP_DMA refuses what overlaps, whatever the memory', () => {
    const { client, c, vaddr } = rig();
    expect(client.map(c, { vaddr, iova: 0x4000n, size: 0x4000n })).toBe(0);
    for (const [iova, size] of [
      [0x4000n, PAGE],
      [0x7000n, 0x4000n],
      [0n, 0x5000n],
      [0n, 0x10000n],
    ] as const) {
      expect(client.map(c, { vaddr: 0n, iova, size })).toBe(EEXIST);
    }
    expect(client.map(c, { vaddr, iova: 0x8000n, size: PAGE })).toBe(0);
  });
  test('MAP_DMA refuses more than dma_entry_limit mappings', () => {
    const client = new Client(machineOf());
    client.machine.vfio.parameters.dmaEntryLimit = 1;
    const { c } = client.container(3);
    const vaddr = client.memory(0x2000);
    expect(client.map(c, { vaddr, iova: 0n, size: PAGE })).toBe(0);
    expect(client.map(c, { vaddr, iova: PAGE, size: PAGE })).toBe(ENOSPC);
    expect(client.unmap(c, { iova: 0n, size: PAGE }).rc).toBe(0);
    expect(client.map(c, { vaddr, iova: PAGE, size: PAGE })).toBe(0);
  });
  test('MAP_DMA refuses memory that cannot be written, for WRITE only', () => {
    const { client, c } = rig();
    const vaddr = must(client.program.mmap(0x1000, { writable: false }));
    expect(client.map(c, { vaddr, iova: 0n, size: PAGE, flags: 2 })).toBe(EFAULT);
    expect(client.map(c, { vaddr, iova: 0n, size: PAGE, flags: 1 })).toBe(0);
  });
  test('MAP_DMA of a half mapped range leaves nothing of it', () => {
    const { client, c, vaddr } = rig();
    expect(client.map(c, { vaddr: vaddr + 0xf_f000n, iova: 0n, size: 2n * PAGE })).toBe(EFAULT);
    expect(client.machine.memory.pinTotal).toBe(0);
    expect(client.map(c, { vaddr, iova: 0n, size: 2n * PAGE })).toBe(0);
  });
});

describe('accounting (1.11)', () => {
  const user = { uid: 0, capabilities: [17], rlimitMemlock: 4n * PAGE };
  test('the limit of locked memory holds for those without CAP_IPC_LOCK and counts a page as often as it is mapped', () => {
    const client = new Client(machineOf(), user);
    const { c } = client.container(3);
    const vaddr = client.memory(0x8000);
    expect(client.map(c, { vaddr, iova: 0n, size: 5n * PAGE })).toBe(ENOMEM);
    expect(client.program.mm.lockedVm).toBe(0);
    expect(client.map(c, { vaddr, iova: 0n, size: 3n * PAGE })).toBe(0);
    expect(client.map(c, { vaddr, iova: 0x8000n, size: 2n * PAGE })).toBe(ENOMEM);
    expect(client.map(c, { vaddr, iova: 0x8000n, size: PAGE })).toBe(0);
    expect(client.program.mm.lockedVm).toBe(4);
    expect(client.unmap(c, { flags: ALL }).size).toBe(4n * PAGE);
    expect(client.program.mm.lockedVm).toBe(0);
  });
  test('CAP_IPC_LOCK passes the limit of locked memory and is counted', () => {
    const client = new Client(machineOf(), { ...user, capabilities: [14] });
    const { c } = client.container(3);
    expect(client.map(c, { vaddr: client.memory(0x8000), iova: 0n, size: 8n * PAGE })).toBe(0);
    expect(client.program.mm.lockedVm).toBe(8);
    client.machine.close();
    expect(client.program.mm.lockedVm).toBe(0);
  });
});

test('a BAR can be mapped and does not count', () => {
  const client = new Client(machineOf());
  const { c, d } = client.device();
  const info = client.call(d, v.VFIO_DEVICE_GET_REGION_INFO, v.vfio_region_info, { index: 0 }).out;
  const bar = must(client.program.mmap(0x1000, { fd: d, offset: info.offset }));
  expect(client.map(c, { vaddr: bar, iova: 0n, size: PAGE })).toBe(0);
  expect(client.program.mm.lockedVm).toBe(0);
  expect(client.unmap(c, { iova: 0n, size: PAGE }).size).toBe(PAGE);
});

describe('UNMAP_DMA refuses (1.10)', () => {
  test.for([
    ['argsz 23', { argsz: 23 }, 'EINVAL'],
    ['an unknown flag', { flags: 8 }, 'EINVAL'],
    ['a bitmap with ALL', { flags: DIRTY | ALL }, 'EINVAL'],
    ['a bitmap with VADDR', { flags: DIRTY | VADDR }, 'EINVAL'],
    ['a bitmap without room for it', { flags: DIRTY, argsz: 24 }, 'EINVAL'],
    ['a misaligned iova, before the wrap', { iova: (1n << 64n) - 0x800n }, 'EINVAL'],
    ['ALL with an iova', { flags: ALL, iova: PAGE, size: 0n }, 'EINVAL'],
    ['ALL with a size', { flags: ALL, iova: 0n }, 'EINVAL'],
    ['size 0', { size: 0n }, 'EINVAL'],
    ['a misaligned size', { size: 0x800n }, 'EINVAL'],
    ['a range that wraps', { iova: (1n << 64n) - PAGE, size: 2n * PAGE }, 'EOVERFLOW'],
    ['a range that bisects the mapping', { iova: 0x1000n, size: PAGE }, 'EINVAL'],
  ] as const)('UNMAP_DMA refuses %s', ([, given, errno]) => {
    const { client, c, vaddr } = rig();
    expect(client.map(c, { vaddr, iova: 0x1000n, size: 2n * PAGE })).toBe(0);
    const values = { flags: 0, iova: 0n, size: 4n * PAGE, ...given };
    const { rc, out } = client.call(
      c,
      v.VFIO_IOMMU_UNMAP_DMA,
      v.vfio_iommu_type1_dma_unmap,
      values,
    );
    expect(isErrno(rc) && rc.name).toBe(errno);
    expect(out.size).toBe(values.size);
    expect(client.unmap(c, { flags: ALL }).size).toBe(2n * PAGE);
  });
  test('the two halves of the space are unmapped as QEMU does it', () => {
    const { client, c, vaddr } = rig();
    expect(client.map(c, { vaddr, iova: 0x1000n, size: PAGE })).toBe(0);
    expect(client.unmap(c, { iova: 0n, size: 1n << 63n })).toEqual({ rc: 0, size: PAGE });
    expect(client.unmap(c, { iova: 1n << 63n, size: 1n << 63n })).toEqual({ rc: 0, size: 0n });
  });
});

describe('VADDR', () => {
  test('a mapping keeps its pages while its address is invalid, and takes a new one', () => {
    const { client, c, vaddr } = rig();
    expect(client.map(c, { vaddr, iova: 0n, size: PAGE })).toBe(0);
    expect(client.map(c, { vaddr, iova: 0n, size: PAGE, flags: 4 })).toBe(EINVAL);
    expect(client.unmap(c, { flags: VADDR, iova: 0n, size: PAGE })).toEqual({ rc: 0, size: PAGE });
    expect(client.unmap(c, { flags: VADDR, iova: 0n, size: PAGE })).toEqual({
      rc: EINVAL,
      size: PAGE,
    });
    expect(client.machine.memory.pinTotal).toBe(1);
    expect(client.map(c, { vaddr, iova: 0n, size: 2n * PAGE, flags: 4 })).toBe(EINVAL);
    expect(client.map(c, { vaddr, iova: 0n, size: PAGE, flags: 4 })).toBe(0);
    expect(client.map(c, { vaddr, iova: 0n, size: PAGE, flags: 4 })).toBe(EINVAL);
  });
  test('no group joins while an address is invalid', () => {
    const client = new Client(
      machineOf({
        devices: [
          { type: 'edu', at: EDU },
          { type: 'edu', at: '0000:00:05.0' },
        ],
      }),
    );
    const { c } = client.container(3);
    const vaddr = client.memory(0x1000);
    expect(client.map(c, { vaddr, iova: 0n, size: PAGE })).toBe(0);
    expect(client.unmap(c, { flags: VADDR | ALL, iova: 0n, size: 0n }).size).toBe(PAGE);
    const other = client.group('0000:00:05.0');
    expect(client.setContainer(other, c)).toBe(EBUSY);
    expect(client.unmap(c, { flags: ALL, iova: 0n, size: 0n }).rc).toBe(0);
    expect(client.setContainer(other, c)).toBe(0);
  });
  test('another process with too small a limit cannot take the mapping over', () => {
    const { client, c, vaddr } = rig();
    expect(client.map(c, { vaddr, iova: 0n, size: 2n * PAGE })).toBe(0);
    expect(client.unmap(c, { flags: VADDR, iova: 0n, size: 2n * PAGE }).rc).toBe(0);
    const heir = new Client(client.machine, { uid: 0, capabilities: [], rlimitMemlock: PAGE });
    const rich = new Client(client.machine);
    const file = must(client.program.getFile(c));
    const fd = must(heir.program.installFile(file as OpenFile));
    const fd2 = must(rich.program.installFile(file as OpenFile));
    (file as { get?: () => unknown }).get?.();
    (file as { get?: () => unknown }).get?.();
    const there = heir.memory(0x2000);
    expect(heir.map(fd, { vaddr: there, iova: 0n, size: 2n * PAGE, flags: 4 })).toBe(ENOMEM);
    const here = rich.memory(0x2000);
    expect(rich.map(fd2, { vaddr: here, iova: 0n, size: 2n * PAGE, flags: 4 })).toBe(0);
    expect(client.program.mm.lockedVm).toBe(0);
    expect(rich.program.mm.lockedVm).toBe(2);
  });
});

describe('GET_INFO (1.8)', () => {
  test('a short buffer of GET_INFO learns the size it needs, and gets page sizes', () => {
    const { client, c } = rig();
    const { rc, out } = client.call(c, v.VFIO_IOMMU_GET_INFO, v.vfio_iommu_type1_info);
    expect(rc).toBe(0);
    expect(out.flags).toBe(3);
    expect(out.iova_pgsizes).toBe(0x4020_1000n);
    expect(out.argsz).toBe(24 + 32 + 16 + 16 + 32);
    expect(out.cap_offset).toBe(0);
    expect(client.call(c, v.VFIO_IOMMU_GET_INFO, v.vfio_iommu_type1_info, { argsz: 15 }).rc).toBe(
      EINVAL,
    );
  });
  test('16 bytes of GET_INFO get 16 bytes', () => {
    const { client, c } = rig();
    const { all } = client.call(c, v.VFIO_IOMMU_GET_INFO, v.vfio_iommu_type1_info, {
      argsz: 16,
      cap_offset: 0x55,
    });
    expect(new DataView(all.buffer).getUint32(16, true)).toBe(0x55);
  });
  test('the chain of GET_INFO is MIGRATION, DMA_AVAIL, IOVA_RANGE at the offsets of Linux', () => {
    const { client, c, vaddr } = rig();
    expect(client.map(c, { vaddr, iova: 0n, size: PAGE })).toBe(0);
    const { all } = client.call(c, v.VFIO_IOMMU_GET_INFO, v.vfio_iommu_type1_info, { argsz: 4096 });
    const at = new DataView(all.buffer);
    expect(at.getUint32(16, true)).toBe(24);
    expect([at.getUint16(24, true), at.getUint16(26, true), at.getUint32(28, true)]).toEqual([
      2, 1, 56,
    ]);
    expect([at.getBigUint64(40, true), at.getBigUint64(48, true)]).toEqual([PAGE, 0x1000_0000n]);
    expect([at.getUint16(56, true), at.getUint32(60, true), at.getUint32(64, true)]).toEqual([
      3, 72, 65534,
    ]);
    expect([at.getUint16(72, true), at.getUint32(76, true), at.getUint32(80, true)]).toEqual([
      1, 0, 2,
    ]);
    const ranges = [88, 96, 104, 112].map((n) => at.getBigUint64(n, true));
    expect(ranges).toEqual([0n, 0xfedf_ffffn, 0xfef0_0000n, 0x7fff_ffff_ffffn]);
  });
});

describe('DIRTY_PAGES (1.11)', () => {
  function dirty(client: Client, c: number, flags: number, get?: Record<string, bigint>) {
    const tail = new Uint8Array(get ? 40 : 0);
    if (get) Object.assign(v.vfio_iommu_type1_dirty_bitmap_get.view(tail), get);
    const type = v.vfio_iommu_type1_dirty_bitmap;
    return client.call(c, v.VFIO_IOMMU_DIRTY_PAGES, type, { flags }, tail).rc;
  }
  test('v1 has no DIRTY_PAGES', () => {
    const { client, c } = rig(1);
    expect(dirty(client, c, 1)).toBe(EACCES);
  });
  test('DIRTY_PAGES wants exactly one of its flags', () => {
    const { client, c } = rig();
    for (const flags of [0, 3, 5, 8]) expect(dirty(client, c, flags)).toBe(EINVAL);
    expect(dirty(client, c, 1)).toBe(0);
    expect(dirty(client, c, 1)).toBe(0);
    expect(dirty(client, c, 2)).toBe(0);
    expect(dirty(client, c, 2)).toBe(0);
  });
  test('every page of a mapping is dirty at every look, the gaps are left alone', () => {
    const { client, c, vaddr } = rig();
    expect(client.map(c, { vaddr, iova: 0x2000n, size: 3n * PAGE })).toBe(0);
    const data = client.buffer + 0x2000n;
    const get = { iova: 0n, size: 16n * PAGE, pgsize: PAGE, bitmap_size: 8n, data };
    expect(dirty(client, c, 4, get)).toBe(EINVAL);
    expect(dirty(client, c, 1)).toBe(0);
    for (let n = 0; n < 2; n++) {
      client.put(data, Uint8Array.of(0x01, 0x80, 0x55));
      expect(dirty(client, c, 4, get)).toBe(0);
      expect([...client.bytes(data, 3)]).toEqual([0x1d, 0x80, 0x55]);
    }
    for (const wrong of [
      { size: 0n },
      { pgsize: 0x2000n },
      { pgsize: 0n },
      { bitmap_size: 0n },
      { bitmap_size: 0x2000_0000n },
      { iova: 0x800n },
      { iova: 0x3000n, size: 4n * PAGE },
      { data: 1n << 63n },
    ]) {
      expect(dirty(client, c, 4, { ...get, ...wrong }), JSON.stringify(Object.keys(wrong))).toBe(
        EINVAL,
      );
    }
    expect(dirty(client, c, 4, { ...get, iova: (1n << 64n) - PAGE })).toBe(EOVERFLOW);
    expect(dirty(client, c, 4, { ...get, data: 0n })).toBe(EFAULT);
    expect(dirty(client, c, 4)).toBe(EINVAL);
  });
  test('an unmap can take the dirty bitmap with it', () => {
    const { client, c, vaddr } = rig();
    expect(client.map(c, { vaddr, iova: 0x1000n, size: PAGE })).toBe(0);
    const data = client.buffer + 0x2000n;
    const tail = new Uint8Array(24);
    Object.assign(v.vfio_bitmap.view(tail), { pgsize: PAGE, size: 8n, data });
    const range = { flags: DIRTY, iova: 0n, size: 4n * PAGE };
    expect(client.unmap(c, range, tail).rc).toBe(EINVAL);
    expect(dirty(client, c, 1)).toBe(0);
    expect(client.unmap(c, range, tail)).toEqual({ rc: 0, size: PAGE });
    expect([...client.bytes(data, 1)]).toEqual([2]);
    const coarse = tail.slice();
    Object.assign(v.vfio_bitmap.view(coarse), { pgsize: 0x2000n });
    expect(client.unmap(c, range, coarse).rc).toBe(EINVAL);
  });
});

test('without isolated interrupts a container takes a group only when allow_unsafe_interrupts is Y', () => {
  const client = new Client(machineOf());
  const dev = client.machine.core.buses.get('pci')!.find((d) => d.name === EDU)!;
  (dev.config as { isolatedMsi?: boolean }).isolatedMsi = false;
  const c = must(client.open('/dev/vfio/vfio'));
  const g = client.group();
  expect(client.setContainer(g, c)).toBe(0);
  expect(client.plain(c, v.VFIO_SET_IOMMU, 3)).toBe(EPERM);
  client.machine.env.setTrait('unsafe-interrupts', true);
  expect(client.plain(c, v.VFIO_SET_IOMMU, 3)).toBe(0);
});

test('any sequence of maps and unmaps agrees with a table of pages', () => {
  const ops = fc.array(
    fc.record({ map: fc.boolean(), at: fc.nat(15), length: fc.integer({ min: 1, max: 6 }) }),
    { maxLength: 30 },
  );
  fc.assert(
    fc.property(ops, fc.constantFrom(1, 3), (steps, type) => {
      const { client, c, vaddr } = rig(type);
      const model = new Map<number, { at: number; length: number }>();
      for (const { map, at, length } of steps) {
        const iova = BigInt(at) * PAGE;
        const size = BigInt(length) * PAGE;
        const met = [...model.values()].filter((m) => m.at < at + length && at < m.at + m.length);
        if (map) {
          const rc = client.map(c, { vaddr: vaddr + iova, iova, size });
          expect(rc).toBe(met.length > 0 ? EEXIST : 0);
          if (met.length === 0) model.set(at, { at, length });
          continue;
        }
        const cut = met.some((m) => m.at < at || m.at + m.length > at + length);
        met.sort((a, b) => a.at - b.at);
        const gone = type === 1 && met[0] && met[0].at < at ? [] : met;
        const { rc, size: removed } = client.unmap(c, { iova, size });
        if (type === 3 && cut) {
          expect(rc).toBe(EINVAL);
          continue;
        }
        expect(removed).toBe(BigInt(gone.reduce((sum, m) => sum + m.length, 0)) * PAGE);
        for (const m of gone) model.delete(m.at);
      }
      const domain = getDomainForDev(
        client.machine.core.buses.get('pci')!.find((d) => d.name === EDU)!,
      )!;
      for (let page = 0; page < 24; page++) {
        const mapped = [...model.values()].some((m) => m.at <= page && page < m.at + m.length);
        expect(iovaToPhys(domain, BigInt(page) * PAGE) !== 0n).toBe(mapped);
      }
      expect(client.machine.memory.pinTotal > 0).toBe(model.size > 0);
      client.machine.close();
      expect(client.machine.memory.pinTotal).toBe(0);
    }),
    { numRuns: 25 },
  );
});

test('VADDR of a missing mapping is ENOENT', () => {
  const { client, c, vaddr } = rig();
  expect(client.map(c, { vaddr, iova: 0n, size: PAGE, flags: 4 })).toBe(ENOENT);
});
