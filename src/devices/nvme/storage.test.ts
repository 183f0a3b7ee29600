/** Namespaces on storage of the host: what takes time, what fails, and what a state keeps of it. */
import { describe, expect, test } from 'vitest';
import { EIO, ENOSPC } from '../../base/errno.ts';
import { AT, NvmeRig, runningNvme } from '../../testing/devices/nvme-rig.ts';
import { SlowDisk } from '../../testing/devices/slow-disk.ts';
import { NVME_REG } from './registers.ts';

function slow(disk = new SlowDisk(2 ** 20)) {
  const world = { host: { blocks: new Map([['d', disk]]) } };
  return { disk, world, rig: runningNvme({ drives: 'd' }, world) };
}
const block = (opcode: number, dwords: number[] = []) => ({
  opcode,
  nsid: 1,
  prp1: AT.data,
  dwords,
});

describe('work that takes time', () => {
  test('ends in the order of the disk', () => {
    const { disk, rig } = slow();
    const ids = [1, 2].map((slba) => rig.submit(1, block(2, [slba])));
    rig.port.clock.advance(1.5e6);
    expect(disk.underWay.map(({ what }) => what)).toEqual(['read', 'read']);
    disk.underWay.reverse();
    disk.end();
    expect(rig.reap(1).map(({ id }) => id)).toEqual([ids[1]]);
    disk.end();
    expect(rig.reap(1).map(({ id }) => id)).toEqual([ids[0]]);
  });
  test('is aborted, and its end means nothing then', () => {
    const { disk, rig } = slow();
    const id = rig.submit(1, block(2));
    rig.port.clock.advance(1.5e6);
    expect(rig.admin({ opcode: 8, dwords: [(id << 16) | 1] }).result).toBe(0);
    expect(rig.reap(1)).toMatchObject([{ id, status: 7 }]);
    const touched = rig.port.touched.length;
    disk.end();
    rig.port.clock.advance(1);
    expect(rig.port.touched.length).toBe(touched);
  });
  test('ends as aborted when its queue is deleted', () => {
    const { disk, rig } = slow();
    const id = rig.submit(1, block(1));
    rig.port.clock.advance(1.5e6);
    rig.must({ opcode: 0, dwords: [1] });
    expect(rig.reap(1)).toMatchObject([{ id, status: 8 }]);
    disk.end();
    expect(rig.reap(1)).toEqual([]);
  });
  test('is not written to the host when its queue is deleted at last', () => {
    const { disk, rig } = slow();
    const id = rig.submit(1, block(2));
    rig.port.clock.advance(1.5e6);
    const touched = rig.port.touched.length;
    disk.end();
    rig.port.clock.advanceOnceTo(rig.port.clock.nowNs);
    expect(rig.port.touched.length).toBe(touched);
    rig.must({ opcode: 0, dwords: [1] });
    expect(rig.reap(1)).toMatchObject([{ id, status: 8 }]);
    expect(rig.port.touched).not.toContain(`write ${AT.data.toString(16)}`);
  });
  test.for(['reset', 'disable'] as const)('is forgotten by a %s', (how) => {
    const { disk, rig } = slow();
    rig.submit(1, block(2));
    rig.port.clock.advance(1.5e6);
    if (how === 'reset') rig.device.reset('flr');
    else rig.store(NVME_REG.cc, 0);
    const touched = rig.port.touched.length;
    disk.end();
    rig.port.clock.advance(1e9);
    expect(rig.port.touched.length).toBe(touched);
  });
});

describe('a restored controller', () => {
  test('begins again with what was under way', () => {
    const { disk, rig, world } = slow();
    disk.bytes.fill(7, 512, 1024);
    const id = rig.submit(1, block(2, [1]));
    rig.port.clock.advance(1.5e6);
    const state = structuredClone(rig.device.state());
    const other = new NvmeRig({ drives: 'd' }, world);
    other.port.memory.set(rig.port.memory);
    other.device.restore(state);
    other.port.clock.advance(1.5e6);
    expect(disk.underWay).toHaveLength(2);
    disk.end();
    disk.end();
    other.port.clock.advance(1.5e6);
    expect(other.words.getUint16(AT.cq + 12, true)).toBe(id);
    expect(other.port.memory[AT.data]).toBe(7);
  });
});

describe('what is durable', () => {
  test('a flush ends with that of the disk', () => {
    const { disk, rig } = slow();
    rig.submit(1, { opcode: 0, nsid: 0xffff_ffff });
    expect(rig.reap(1)).toEqual([]);
    disk.end();
    expect(rig.reap(1)).toMatchObject([{ status: 0 }]);
  });
  test.for<[string, number[], boolean]>([
    ['forced', [0, 0, 1 << 30], true],
    ['without a write cache', [0], false],
  ])('a write is flushed: %s', ([, dwords, cached]) => {
    const { disk, rig } = slow();
    if (!cached) rig.must({ opcode: 9, dwords: [6, 0] });
    rig.submit(1, block(1, dwords));
    rig.port.clock.advance(1.5e6);
    disk.end();
    expect(rig.reap(1)).toEqual([]);
    expect(disk.underWay.map(({ what }) => what)).toEqual(['flush']);
    disk.end();
    expect(rig.reap(1)).toMatchObject([{ status: 0 }]);
  });
  test('a shutdown is complete when the disk has flushed', () => {
    const { disk, rig } = slow();
    rig.store(NVME_REG.cc, 0x0046_4001);
    expect(rig.csts).toBe(5);
    disk.end();
    rig.port.clock.advance(1.5e6);
    expect(rig.csts).toBe(9);
  });
  test('a shutdown that was under way goes on in a restored controller', () => {
    const { disk, rig, world } = slow();
    rig.store(NVME_REG.cc, 0x0046_4001);
    const other = new NvmeRig({ drives: 'd' }, world);
    other.device.restore(structuredClone(rig.device.state()));
    other.port.clock.advance(1.5e6);
    disk.underWay.shift();
    disk.end();
    other.port.clock.advance(1.5e6);
    expect([rig.csts, other.csts]).toEqual([5, 9]);
  });
});

describe('a disk that fails', () => {
  test.for<[string, number, typeof EIO | typeof ENOSPC, number]>([
    ['a read', 2, EIO, 0x4281],
    ['a compare', 5, EIO, 0x4281],
    ['a verify', 0xc, EIO, 0x4281],
    ['a write', 1, EIO, 0x4280],
    ['a write to a full disk', 1, ENOSPC, 0x4081],
    ['zeros', 8, EIO, 0x4280],
    ['zeros on a full disk', 8, ENOSPC, 0x4081],
    ['a flush', 0, EIO, 0x4280],
  ])('gives %s its status', ([, opcode, errno, status]) => {
    const { disk, rig } = slow();
    rig.submit(1, block(opcode));
    rig.port.clock.advance(1.5e6);
    disk.end(errno);
    expect(rig.reap(1)).toMatchObject([{ status }]);
    rig.submit(1, block(2));
    rig.port.clock.advance(1.5e6);
    disk.end();
    expect(rig.reap(1)).toMatchObject([{ status: 0 }]);
  });
  test('gives a format and a deallocation theirs', () => {
    const { disk, rig } = slow();
    rig.range(AT.data, 0, 8);
    rig.submit(1, block(9, [0, 4]));
    rig.port.clock.advance(1.5e6);
    disk.end(ENOSPC);
    expect(rig.reap(1)).toMatchObject([{ status: 0x4081 }]);
    rig.submit(0, { opcode: 0x80, nsid: 1, dwords: [0] });
    rig.port.clock.advance(1.5e6);
    disk.end(EIO);
    expect(rig.reap(0)).toMatchObject([{ status: 0x4280 }]);
  });
});

test('what is read-only is not changed', () => {
  const disk = new SlowDisk(2 ** 20);
  disk.isReadOnly = true;
  const { rig } = slow(disk);
  rig.range(AT.data, 0, 8);
  const statuses = [1, 4, 8].map((opcode) => rig.io(block(opcode)));
  expect(statuses).toEqual([0x4020, 0x4020, 0x4020]);
  expect(rig.io(block(9, [0, 4]))).toBe(0x4020);
  expect(rig.admin({ opcode: 0x80, nsid: 1 }).status).toBe(0x4020);
  rig.must({ opcode: 6, nsid: 1, prp1: AT.data });
  expect([rig.port.memory[AT.data + 99], disk.underWay.length]).toEqual([1, 0]);
});
test('what is in memory is a part of the state', () => {
  const rig = runningNvme({ size_mib: 1 });
  rig.port.memory.fill(5, AT.data, AT.data + 512);
  rig.transfer(1, 3, 1);
  const other = runningNvme({ size_mib: 1 });
  other.device.restore(structuredClone(rig.device.state()));
  other.enable();
  other.addQueues(1);
  expect([other.transfer(2, 3, 1), other.port.memory[AT.data]]).toEqual([0, 5]);
});
