/** Programs that lie: every command ends with a status, nothing else is hurt, and the controller can be used again. */
import { describe, expect, test } from 'vitest';
import { AT, NvmeRig, runningNvme, type CommandFields } from '../../testing/devices/nvme-rig.ts';
import type { NvmeState } from './controller.ts';
import { NVME_REG } from './registers.ts';

const BEYOND = 0x40_0000;
const [CREATE_SQ, CREATE_CQ] = [1, 5];

describe('a command that cannot be', () => {
  const read = (fields: Partial<CommandFields>): CommandFields => ({
    opcode: 2,
    prp1: AT.data,
    ...fields,
  });
  test.for<[string, CommandFields, number]>([
    ['no such opcode', read({ opcode: 0x19 }), 0x4001],
    ['no namespace', read({ nsid: 0 }), 0x400b],
    ['a namespace there is not', read({ nsid: 2 }), 0x400b],
    ['every namespace, of a read', read({ nsid: 0xffff_ffff }), 0x400b],
    ['the last blocks and more', read({ dwords: [131071, 0, 1] }), 0x4080],
    ['blocks beyond 2^64', read({ dwords: [0xffff_ffff, 0xffff_ffff, 1] }), 0x4080],
    ['fused', read({ flags: 1 }), 0x4002],
    ['a scatter-gather list where there are none', read({ flags: 0x40 }), 0x4002],
    ['an address that is no multiple of 4', read({ prp1: AT.data + 2 }), 0x4013],
    ['a second page in the middle', read({ prp2: AT.data + 8, dwords: [0, 0, 15] }), 0x4013],
    ['a list at an odd place', read({ prp2: AT.list + 4, dwords: [0, 0, 23] }), 0x4013],
    ['V22: memory that is not there', read({ prp1: BEYOND }), 0x0004],
    ['a list that is not there', read({ prp2: BEYOND, dwords: [0, 0, 23] }), 0x0004],
    ['a write from nowhere', read({ opcode: 1, prp1: BEYOND }), 0x0004],
    ['ranges from nowhere', read({ opcode: 9, prp1: BEYOND, dwords: [0, 4] }), 0x0004],
    ['a compare with nothing', read({ opcode: 5, prp1: BEYOND }), 0x0004],
    ['a flush of nothing', read({ opcode: 0, nsid: 7 }), 0x400b],
    ['a deallocation of nothing', read({ opcode: 9, nsid: 7 }), 0x400b],
  ])('%s', ([, fields, status]) => {
    const rig = runningNvme();
    expect(rig.io(fields)).toBe(status);
    expect(rig.transfer(2, 0, 1)).toBe(0);
  });
  test('a list whose entries lie', () => {
    const rig = runningNvme();
    rig.words.setBigUint64(AT.list, BigInt(AT.data + 4), true);
    expect(rig.io(read({ prp2: AT.list, dwords: [0, 0, 23] }))).toBe(0x4013);
  });
  test('ranges beyond the end', () => {
    const rig = runningNvme();
    rig.range(AT.data, 131071, 2);
    expect(rig.io({ opcode: 9, prp1: AT.data, dwords: [0, 4] })).toBe(0x4080);
  });
});

describe('a scatter-gather list that cannot be', () => {
  const END = 0x30;
  test.for<[string, { at?: number; length: number; type: number }[], number, number]>([
    ['shorter than the data', [{ at: AT.data, length: 100, type: 0 }], END, 0x400f],
    ['of an unknown type', [{ at: AT.data, length: 512, type: 0x40 }], END, 0x4011],
    ['a segment in the last one', [{ at: AT.list, length: 16, type: 0x20 }], END, 0x400d],
    [
      'a segment before its end',
      [
        { at: AT.list, length: 16, type: 0x20 },
        { length: 0, type: 0 },
      ],
      0x20,
      0x400d,
    ],
    ['a list that is its own next', [{ at: AT.list, length: 16, type: 0x20 }], 0x20, 0x400e],
  ])('%s', ([, list, type, status]) => {
    const rig = runningNvme({ sgl: true });
    rig.sgl(AT.list, list);
    const prp2 = BigInt(16 * list.length) | (BigInt(type) << 56n);
    expect(rig.io({ opcode: 2, flags: 0x40, prp1: AT.list, prp2 })).toBe(status);
  });
  test('segments of no size, or nowhere', () => {
    const rig = runningNvme({ sgl: true });
    const io = (prp1: number, length: number) =>
      rig.io({ opcode: 2, flags: 0x40, prp1, prp2: BigInt(length) | (0x30n << 56n) });
    expect([io(AT.list, 0), io(AT.list, 17), io(BEYOND, 16)]).toEqual([0x400d, 0x400d, 0x0004]);
    expect(io(AT.list, 16 * 300)).toBe(0x400e);
  });
});

describe('an admin command that cannot be', () => {
  const create = (
    opcode: number,
    dword10: number,
    dword11: number,
    prp1: number = AT.sq,
  ): CommandFields => ({
    opcode,
    prp1,
    dwords: [dword10, dword11],
  });
  test.for<[string, CommandFields, number]>([
    ['queue 0', create(CREATE_CQ, 0x1f_0000, 1), 0x4101],
    ['a queue that is there', create(CREATE_CQ, 0x1f_0001, 1), 0x4101],
    ['a queue beyond the last', create(CREATE_CQ, 0x1f_0009, 1), 0x4101],
    ['a queue of one entry', create(CREATE_CQ, 2, 1), 0x4102],
    ['a queue in pieces', create(CREATE_CQ, 0x1f_0002, 0), 0x4002],
    ['a queue at no page', create(CREATE_CQ, 0x1f_0002, 1, AT.sq + 16), 0x4013],
    ['a vector there is not', create(CREATE_CQ, 0x1f_0002, 0x9_0003), 0x4108],
    ['a submission queue answered by the admin queue', create(CREATE_SQ, 0x1f_0002, 1), 0x4100],
    ['the deletion of the admin queue', { opcode: 0, dwords: [0] }, 0x4101],
    ['the deletion of its completion queue', { opcode: 4, dwords: [0] }, 0x4101],
    ['identify of what there is not', { opcode: 6, prp1: AT.data, dwords: [0x1c] }, 0x4002],
    ['identify of namespace 9', { opcode: 6, nsid: 9, prp1: AT.data, dwords: [0] }, 0x400b],
    ['ids of namespace 9', { opcode: 6, nsid: 9, prp1: AT.data, dwords: [3] }, 0x400b],
    ['a list after all', { opcode: 6, nsid: 0xffff_fffe, prp1: AT.data, dwords: [2] }, 0x400b],
    ['identify to nowhere', { opcode: 6, prp1: BEYOND, dwords: [1] }, 0x0004],
    ['a log there is not', { opcode: 2, prp1: AT.data, dwords: [0x77] }, 0x4109],
    ['a log from beyond its end', { opcode: 2, prp1: AT.data, dwords: [3, 0, 516] }, 0x4002],
    ['a log from an odd place', { opcode: 2, prp1: AT.data, dwords: [3, 0, 2] }, 0x4002],
    ['health of one namespace', { opcode: 2, nsid: 1, prp1: AT.data, dwords: [2] }, 0x400b],
    ['a log to nowhere', { opcode: 2, prp1: BEYOND, dwords: [2] }, 0x0004],
    [
      'more of a log than can be',
      { opcode: 2, prp1: AT.data, dwords: [0xffff_0002, 0xff] },
      0x4002,
    ],
    ['a feature there is not', { opcode: 9, dwords: [0x11] }, 0x4002],
    ['getting a feature there is not', { opcode: 0xa, dwords: [0x11] }, 0x4002],
    ['a feature in no way', { opcode: 0xa, dwords: [0x406] }, 0x4002],
    ['a feature to be kept', { opcode: 9, dwords: [0x8000_0006, 1] }, 0x410d],
    ['a power state there is not', { opcode: 9, dwords: [2, 1] }, 0x4002],
    ['no queues', { opcode: 9, dwords: [7, 0xffff] }, 0x4002],
    ['a sensor there is not', { opcode: 9, dwords: [4, 0x3_0100] }, 0x4002],
    ['a threshold there is not', { opcode: 0xa, dwords: [4, 0x20_0000] }, 0x4002],
    ['coalescing of no vector', { opcode: 9, dwords: [9, 77] }, 0x4002],
    ['the state of no vector', { opcode: 0xa, dwords: [9, 77] }, 0x4002],
    ['a time from nowhere', { opcode: 9, prp1: BEYOND, dwords: [0xe] }, 0x0004],
    ['a format there is not', { opcode: 0x80, nsid: 1, dwords: [2] }, 0x410a],
    ['a format with metadata', { opcode: 0x80, nsid: 1, dwords: [0x10] }, 0x4002],
    ['a format with a key', { opcode: 0x80, nsid: 1, dwords: [0x400] }, 0x4002],
    ['a format of nothing', { opcode: 0x80, nsid: 0, dwords: [0] }, 0x400b],
    ['scatter-gather lists in an admin command', { opcode: 6, flags: 0x40, dwords: [1] }, 0x4002],
  ])('%s', ([, fields, status]) => {
    expect(runningNvme({ queues: 8, sgl: true }).admin(fields).status).toBe(status);
  });
});

describe('queues under load', () => {
  test('a full completion queue holds its answers until the host looks', () => {
    const rig = new NvmeRig();
    rig.enable();
    rig.addQueues(1, 4);
    for (let n = 0; n < 3; n++) rig.submit(1, { opcode: 2, nsid: 1, prp1: AT.data });
    expect(rig.reap(1, true)).toHaveLength(3);
    for (let n = 0; n < 3; n++) rig.submit(1, { opcode: 2, nsid: 1, prp1: AT.data });
    expect(rig.reap(1, true)).toHaveLength(0);
    rig.store(NVME_REG.cqHead + 8, 3);
    expect(rig.reap(1)).toHaveLength(3);
  });
  test('a queue that cannot be read stops alone, and can be deleted', () => {
    const rig = runningNvme();
    const held = rig.submit(0, { opcode: 0xc });
    rig.must({ opcode: 5, prp1: AT.cq + 0x8000, dwords: [0x1f_0002, 1] });
    rig.must({ opcode: 1, prp1: BEYOND, dwords: [0x1f_0002, 0x2_0001] });
    rig.store(NVME_REG.sqTail + 16, 5);
    expect(rig.reap(0)).toMatchObject([{ id: held, result: 0x0001_0400 }]);
    expect([rig.csts, rig.transfer(2, 0, 1)]).toEqual([1, 0]);
    rig.must({ opcode: 0, dwords: [2] });
    rig.must({ opcode: 4, dwords: [2] });
  });
  test('a small queue waits for the answers of a larger one that are before its own', () => {
    const rig = new NvmeRig();
    rig.enable();
    rig.addQueues(1, 8);
    rig.must({ opcode: 1, prp1: AT.sq + 0x8000, dwords: [0x1_0002, 0x1_0001] });
    for (let n = 0; n < 500; n++) rig.submit(1, { opcode: 2, nsid: 1, prp1: AT.data });
    rig.port.memory.fill(0, AT.sq + 0x8000, AT.sq + 0x8040);
    rig.words.setUint32(AT.sq + 0x8004, 1, true);
    rig.store(NVME_REG.sqTail + 16, 1);
    const answered = new Set<number>();
    for (let n = 0; n < 4; n++) for (const { sqId } of rig.reap(1)) answered.add(sqId);
    expect(answered).toEqual(new Set([1, 2]));
  });
});

describe('a controller that has failed, or begins again', () => {
  test('an admin queue that cannot be read is fatal, until the controller is disabled', () => {
    const rig = new NvmeRig();
    rig.enable();
    rig.store(NVME_REG.cc, 0);
    rig.store(NVME_REG.asq, BEYOND, 8);
    rig.store(NVME_REG.cc, 0x0046_0001);
    rig.store(NVME_REG.sqTail, 1);
    rig.port.clock.advance(1);
    expect(rig.csts).toBe(3);
    rig.enable();
    expect([rig.csts, rig.admin({ opcode: 0xa, dwords: [6] }).result]).toEqual([1, 1]);
  });
  test.for([
    ['pages of 128 KiB', 0x0046_0281],
    ['a command set there is not', 0x0046_0061],
    ['weighted arbitration', 0x0046_0801],
  ] as const)('a configuration there is not is fatal at the first use: %s', ([, cc]) => {
    const rig = new NvmeRig();
    rig.enable(32, cc);
    expect(rig.csts).toBe(1);
    rig.store(NVME_REG.sqTail, 1);
    expect(rig.csts).toBe(3);
  });
  test('after a disable nothing is written and nobody is interrupted', () => {
    const rig = runningNvme();
    rig.submit(1, { opcode: 2, nsid: 1, prp1: AT.data });
    const [sent, touched] = [rig.port.messages.length, rig.port.touched.length];
    rig.store(NVME_REG.cc, 0);
    rig.port.clock.advance(1e9);
    rig.store(NVME_REG.sqTail + 8, 3);
    expect([rig.port.messages.length, rig.port.touched.length]).toEqual([sent, touched]);
  });
  test('a reset of the subsystem takes the configuration too, and says so', () => {
    const rig = runningNvme();
    rig.store(NVME_REG.nssr, 1);
    expect(rig.csts).toBe(1);
    rig.store(NVME_REG.nssr, 0x4e56_4d65);
    expect([rig.csts, rig.load(NVME_REG.cc), rig.load(NVME_REG.aqa)]).toEqual([0x10, 0n, 0n]);
    rig.store(NVME_REG.csts, 0x10);
    expect(rig.csts).toBe(0);
    rig.enable();
    expect(rig.csts).toBe(1);
  });
  test('a host that rings faster than it looks gives no more work than its ring has', () => {
    const rig = new NvmeRig();
    rig.enable();
    rig.addQueues(1, 8);
    for (let n = 0; n < 500; n++) rig.submit(1, { opcode: 2, nsid: 1, prp1: AT.data });
    expect(rig.reap(1, true).length).toBeLessThan(8);
    const { engine } = rig.device.state() as NvmeState;
    expect(engine.completions[1]!.waiting.length).toBeLessThanOrEqual(8);
  });
});
