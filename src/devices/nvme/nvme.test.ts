/** The vectors of devices.md 4.6. */
import { describe, expect, test } from 'vitest';
import { AT, NvmeRig, runningNvme } from '../../testing/devices/nvme-rig.ts';
import { NVME_REG } from './registers.ts';

describe('registers', () => {
  test('V1: CAP is one word or two halves', () => {
    const rig = new NvmeRig();
    const whole = rig.load(0, 8);
    expect([rig.load(0), rig.load(4)]).toEqual([whole & 0xffff_ffffn, whole >> 32n]);
    expect([whole & 0xffffn, (whole >> 24n) & 0xffn, (whole >> 37n) & 0xffn]).toEqual([
      1023n,
      30n,
      1n,
    ]);
  });
  test('V2: ready follows enable', () => {
    const rig = new NvmeRig();
    rig.enable();
    expect(rig.csts).toBe(1);
    rig.store(NVME_REG.cc, 0);
    expect(rig.csts).toBe(0);
  });
  test('V3: a shutdown is complete at once where nothing has to be written', () => {
    const rig = runningNvme();
    rig.store(NVME_REG.cc, 0x0046_4001);
    expect(rig.csts).toBe(9);
    rig.store(NVME_REG.cc, 0x0046_0001);
    expect(rig.csts).toBe(1);
  });
});

describe('admin commands', () => {
  test('V4: identify tells sizes, and a completion who and where', () => {
    const rig = new NvmeRig();
    rig.enable();
    const completion = rig.admin({ opcode: 6, prp1: AT.data, dwords: [1] });
    expect(completion).toEqual({ result: 0, sqHead: 1, sqId: 0, id: 1, status: 0 });
    expect([rig.port.memory[AT.data + 77], rig.port.memory[AT.data + 512]]).toEqual([5, 0x66]);
    expect(rig.port.messages).toEqual([0]);
  });
  test.for([
    ['V5: an unknown opcode', { opcode: 0x7f }, 0x4001],
    [
      'V7: a queue that answers to none',
      { opcode: 1, prp1: AT.sq, dwords: [0x1f0002, 0x50001] },
      0x4100,
    ],
    ['V8: deletion in the wrong order', { opcode: 4, dwords: [1] }, 0x410c],
    ['V9: deletion of what is not there', { opcode: 0, dwords: [9] }, 0x4101],
    ['V10: too long a queue', { opcode: 5, prp1: AT.cq, dwords: [0xffff_0002, 1] }, 0x4102],
  ] as const)('%s', ([, fields, status]) => {
    expect(runningNvme().admin(fields).status).toBe(status);
  });
  test('V6: all queues are granted', () => {
    const { result } = runningNvme({ queues: 8 }).must({ opcode: 9, dwords: [7, 0x3f003f] });
    expect(result).toBe(0x7_0007);
  });
});

describe('I/O', () => {
  test('V11: a read beyond the end', () => {
    expect(runningNvme({ size_mib: 1 }).transfer(2, 2048, 1)).toBe(0x4080);
  });
  test('V12: what is written is read, to another offset of a page', () => {
    const rig = runningNvme();
    const { memory } = rig.port;
    for (let n = 0; n < 4096; n++) memory[AT.data + n] = n * 7;
    expect(rig.transfer(1, 5, 8)).toBe(0);
    const expected = memory.slice(AT.data, AT.data + 4096);
    const [prp1, prp2] = [AT.data + 0x4200, AT.data + 0x8000];
    expect(rig.io({ opcode: 2, prp1, prp2, dwords: [5, 0, 7] })).toBe(0);
    expect(memory.slice(prp1, prp1 + 0xe00)).toEqual(expected.slice(0, 0xe00));
    expect(memory.slice(prp2, prp2 + 0x200)).toEqual(expected.slice(0xe00));
  });
});
