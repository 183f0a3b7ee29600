/** The vectors of devices.md 4.6. */
import { describe, expect, test, vi } from 'vitest';
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

describe('lists of pages', () => {
  test('V13: a list begins anywhere in its page, and goes on in another', () => {
    const rig = runningNvme();
    const { memory } = rig.port;
    for (let n = 0; n < 3 * 4096; n++) memory[AT.data + n] = n >> 5;
    const pages = [AT.data + 0x1000, AT.data + 0x2000];
    pages.forEach((page, n) => rig.words.setBigUint64(AT.list + 8 + 8 * n, BigInt(page), true));
    const write = { opcode: 1, prp1: AT.data, prp2: AT.list + 8, dwords: [0, 0, 23] };
    expect(rig.io(write)).toBe(0);
    // Room for one entry: it is the next page of the list.
    rig.words.setBigUint64(AT.list + 0xff8, BigInt(AT.list + 0x2000), true);
    [0x9000, 0xa000].forEach((page, n) =>
      rig.words.setBigUint64(AT.list + 0x2000 + 8 * n, BigInt(AT.data + page), true),
    );
    const read = { opcode: 2, prp1: AT.data + 0x8000, prp2: AT.list + 0xff8, dwords: [0, 0, 23] };
    expect(rig.io(read)).toBe(0);
    const [from, to] = [AT.data, AT.data + 0x8000].map((at) => memory.slice(at, at + 0x3000));
    expect(to).toEqual(from);
  });
  test('a segment list leaves out what goes into a bit bucket', () => {
    const rig = runningNvme({ sgl: true });
    rig.port.memory.fill(7, AT.data, AT.data + 512);
    rig.port.memory.fill(9, AT.data + 512, AT.data + 1024);
    expect(rig.transfer(1, 0, 2)).toBe(0);
    rig.sgl(AT.list, [
      { length: 512, type: 0x10 },
      { at: AT.data + 0x2000, length: 512, type: 0 },
    ]);
    const prp2 = 32n | (0x30n << 56n);
    expect(rig.io({ opcode: 2, flags: 0x40, prp1: AT.list, prp2, dwords: [0, 0, 1] })).toBe(0);
    expect([rig.port.memory[AT.data + 0x2000], rig.port.memory[AT.data + 0x2200]]).toEqual([9, 0]);
  });
});

describe('commands on blocks', () => {
  test('V14: what is deallocated reads as zeros', () => {
    const rig = runningNvme();
    rig.port.memory.fill(1, AT.data, AT.data + 512);
    rig.transfer(1, 9, 1);
    rig.range(AT.data + 0x1000, 0, 131072);
    expect(rig.io({ opcode: 9, prp1: AT.data + 0x1000, dwords: [0, 4] })).toBe(0);
    expect(rig.transfer(2, 9, 1)).toBe(0);
    expect(rig.port.memory[AT.data]).toBe(0);
  });
  test('V15: compare', () => {
    const rig = runningNvme();
    rig.port.memory.fill(1, AT.data, AT.data + 512);
    rig.transfer(1, 9, 1);
    expect(rig.transfer(5, 9, 1)).toBe(0);
    rig.port.memory[AT.data + 511] = 2;
    expect(rig.transfer(5, 9, 1)).toBe(0x4285);
  });
  test('V19: more than a command may move', () => {
    expect(runningNvme().io({ opcode: 2, prp1: AT.data, prp2: AT.list, dwords: [0, 0, 519] })).toBe(
      0x4002,
    );
  });
  test('what was marked cannot be read until it is written', () => {
    const rig = runningNvme();
    const mark = { opcode: 4, dwords: [8, 0, 3] };
    expect(rig.io(mark)).toBe(0);
    expect([rig.transfer(2, 11, 1), rig.transfer(5, 8, 1)]).toEqual([0x4281, 0x4281]);
    expect(rig.io({ opcode: 0xc, dwords: [0, 0, 8] })).toBe(0x4281);
    expect([rig.transfer(1, 8, 4), rig.transfer(2, 8, 4)]).toEqual([0, 0]);
    expect(rig.io({ opcode: 0xc, dwords: [0, 0, 0xffff] })).toBe(0);
  });
  test('zeros are written without data', () => {
    const rig = runningNvme();
    rig.port.memory.fill(1, AT.data, AT.data + 4096);
    rig.transfer(1, 0, 8);
    expect(rig.io({ opcode: 8, dwords: [1, 0, 5] })).toBe(0);
    rig.transfer(2, 0, 8);
    const blocks = Array.from({ length: 8 }, (_, n) => rig.port.memory[AT.data + 512 * n]);
    expect(blocks).toEqual([1, 0, 0, 0, 0, 0, 0, 1]);
  });
  test('a format makes zeros and another size of blocks, and the host hears of it', () => {
    const rig = runningNvme({ size_mib: 1 });
    rig.must({ opcode: 9, dwords: [0xb, 0x100] });
    const event = rig.submit(0, { opcode: 0xc });
    rig.port.memory.fill(1, AT.data, AT.data + 512);
    rig.transfer(1, 0, 1);
    const format = rig.submit(0, { opcode: 0x80, nsid: 1, dwords: [1] });
    const completions = rig.reap(0);
    expect(completions.find(({ id }) => id === format)?.status).toBe(0);
    expect(completions.find(({ id }) => id === event)?.result).toBe(0x0004_0002);
    rig.must({ opcode: 6, nsid: 1, prp1: AT.data, dwords: [0] });
    expect([rig.words.getUint32(AT.data, true), rig.port.memory[AT.data + 26]]).toEqual([256, 1]);
    expect(rig.transfer(2, 255, 1)).toBe(0);
    expect(rig.port.memory[AT.data]).toBe(0);
    rig.must({ opcode: 2, prp1: AT.data, dwords: [0x3ff_0004] });
    expect(rig.words.getUint32(AT.data, true)).toBe(1);
  });
});

describe('events and aborts', () => {
  test('V16: as many requests are held as can be', () => {
    const rig = new NvmeRig();
    rig.enable();
    const ids = Array.from({ length: 5 }, () => rig.submit(0, { opcode: 0xc }));
    expect(rig.reap(0)).toMatchObject([{ id: ids[4], status: 0x4105 }]);
  });
  test('V17: a held request is aborted', () => {
    const rig = new NvmeRig();
    rig.enable();
    const held = rig.submit(0, { opcode: 0xc });
    const abort = rig.submit(0, { opcode: 8, dwords: [held << 16] });
    expect(rig.reap(0)).toMatchObject([
      { id: held, status: 0x0007 },
      { id: abort, status: 0, result: 0 },
    ]);
    expect(rig.admin({ opcode: 8, dwords: [held << 16] })).toMatchObject({ status: 0, result: 1 });
  });
  test('V18: a doorbell of no queue, and a value of no entry, are events, each once', () => {
    const rig = runningNvme();
    const held = [rig.submit(0, { opcode: 0xc }), rig.submit(0, { opcode: 0xc })];
    rig.store(NVME_REG.sqTail + 8 * 60, 3);
    rig.store(NVME_REG.sqTail + 8, 32);
    expect(rig.reap(0)).toMatchObject([{ id: held[0], status: 0, result: 0x0001_0000 }]);
    rig.store(NVME_REG.sqTail + 8, 77);
    // The log page lets the next one come.
    const log = rig.submit(0, { opcode: 2, prp1: AT.data, dwords: [0xf_0001] });
    expect(rig.reap(0)).toMatchObject([
      { id: held[1], result: 0x0001_0100 },
      { id: log, status: 0 },
    ]);
  });
});

describe('logs and features', () => {
  test('V20: health', () => {
    const rig = runningNvme();
    rig.transfer(1, 0, 8);
    rig.transfer(2, 0, 8);
    rig.must({ opcode: 2, nsid: 0xffff_ffff, prp1: AT.data, dwords: [0x7f_0002] });
    const { words } = rig;
    const { memory } = rig.port;
    expect([memory[AT.data + 3], words.getUint16(AT.data + 1, true)]).toEqual([100, 320]);
    const counters = [32, 48, 64, 80].map((at) => memory[AT.data + at]);
    expect(counters).toEqual([1, 1, 1, 1]);
  });
  test('errors are logged, the newest first', () => {
    const rig = runningNvme();
    rig.transfer(2, 2 ** 40, 1);
    rig.admin({ opcode: 0x7f });
    rig.must({ opcode: 2, prp1: AT.data, dwords: [0x1f_0001] });
    const entry = (n: number) => [
      rig.words.getUint32(AT.data + 64 * n, true),
      rig.words.getUint16(AT.data + 64 * n + 8, true),
      rig.words.getUint16(AT.data + 64 * n + 12, true) >> 1,
    ];
    expect([entry(0), entry(1)]).toEqual([
      [2, 0, 0x4001],
      [1, 1, 0x4080],
    ]);
    expect(rig.words.getBigUint64(AT.data + 64 + 16, true)).toBe(2n ** 40n);
  });
  test('a part of a log page, and zeros beyond its end', () => {
    const rig = runningNvme();
    rig.port.memory.fill(0xee, AT.data, AT.data + 4096);
    rig.must({ opcode: 2, prp1: AT.data, dwords: [0x1_0003, 0, 8] });
    expect(String.fromCharCode(...rig.port.memory.slice(AT.data, AT.data + 3))).toBe('1.0');
    rig.must({ opcode: 2, prp1: AT.data, dwords: [0x3_0003, 0, 508] });
    expect([...rig.port.memory.slice(AT.data + 4, AT.data + 17)]).toEqual([
      ...new Array<number>(12).fill(0),
      0xee,
    ]);
  });
});

describe('features and names', () => {
  test.for<[name: string, set: number[], get: number[], result: number]>([
    ['the write cache', [6, 0], [6], 0],
    ['the write cache by default', [6, 0], [0x106], 1],
    ['what can be done with it', [6, 0], [0x306], 4],
    ['a threshold', [4, 400], [4], 400],
    ['the lower threshold', [4, 0x10_0100], [4, 0x10_0000], 0x100],
    ['events', [0xb, 0xffff_ffff], [0xb], 0x1ff],
    ['a vector', [9, 0x1_0003], [9, 3], 0x1_0003],
  ])('a feature is what it was set to: %s', ([, set, get, result]) => {
    const rig = runningNvme();
    rig.must({ opcode: 9, dwords: set });
    expect(rig.must({ opcode: 0xa, dwords: get }).result).toBe(result);
  });
  test('a timestamp goes on from what the host has set', () => {
    const rig = runningNvme();
    rig.words.setUint32(AT.data, 5000, true);
    rig.must({ opcode: 9, prp1: AT.data, dwords: [0xe] });
    // The rig has waited 1.5 ms for the answer.
    rig.port.clock.advance(5.5e6);
    rig.must({ opcode: 0xa, prp1: AT.data, dwords: [0xe] });
    expect([rig.words.getUint32(AT.data, true), rig.port.memory[AT.data + 6]]).toEqual([5007, 2]);
  });
  test('names are of the place and the number: no two are alike', () => {
    const rig = runningNvme({ namespaces: 2 });
    const idOf = (nsid: number): string => {
      rig.must({ opcode: 6, nsid, prp1: AT.data, dwords: [3] });
      return Buffer.from(rig.port.memory.slice(AT.data, AT.data + 32)).toString('hex');
    };
    expect(idOf(1)).not.toBe(idOf(2));
    rig.must({ opcode: 6, nsid: 0, prp1: AT.data, dwords: [2] });
    expect([0, 4, 8].map((at) => rig.words.getUint32(AT.data + at, true))).toEqual([1, 2, 0]);
  });
});

test('V21: a ring of two entries', () => {
  const rig = new NvmeRig();
  rig.enable();
  rig.addQueues(1, 2);
  expect([1, 2, 3, 4, 5].map(() => rig.transfer(2, 0, 1))).toEqual([0, 0, 0, 0, 0]);
});

describe('commands that come together', () => {
  const read = { opcode: 2, nsid: 1, prp1: AT.data };
  const fetches = (rig: NvmeRig): number =>
    rig.port.touched.filter((what) => what.startsWith(`read 4`)).length;

  test('are fetched in one go, answered in one, and told of once', () => {
    const rig = runningNvme();
    for (let n = 0; n < 20; n++) rig.submit(1, read);
    const before = rig.port.messages.length;
    expect(rig.reap(1)).toHaveLength(20);
    expect([fetches(rig), rig.port.messages.length - before]).toEqual([1, 1]);
    // As many are expected the next time, and the last of them is not waited for.
    for (let n = 0; n < 20; n++) rig.submit(1, read);
    expect(rig.port.messages.length - before).toBe(2);
  });
  test('have their data written in one transfer, and their answers in the next', () => {
    const rig = runningNvme();
    for (let n = 0; n < 20; n++) rig.submit(1, { ...read, prp1: AT.data + n * 0x1000 });
    const write = vi.spyOn(rig.port.dma, 'write');
    expect(rig.reap(1)).toHaveLength(20);
    const pieces = write.mock.calls.map(([to]) => (typeof to === 'bigint' ? 1 : to.length));
    expect(pieces).toEqual([20, 1]);
  });
  test('and of which one cannot be written: that one alone has failed', () => {
    const rig = runningNvme();
    rig.port.memory.fill(9, AT.data, AT.data + 0x1000);
    rig.transfer(1, 0, 1);
    rig.port.memory.fill(0, AT.data, AT.data + 0x1000);
    const places = [AT.data, 0x40_0000, AT.data + 0x200];
    const ids = places.map((prp1) => rig.submit(1, { ...read, prp1 }));
    const statuses = rig.reap(1).map(({ id, status }) => [ids.indexOf(id), status]);
    expect(statuses).toEqual([
      [0, 0],
      [1, 0x0004],
      [2, 0],
    ]);
    const first = [0, 0x1ff, 0x200, 0x3ff, 0x400].map((at) => rig.port.memory[AT.data + at]);
    expect(first).toEqual([9, 9, 9, 9, 0]);
  });
  test('are not waited for by a host that sends one alone', () => {
    const rig = runningNvme();
    rig.transfer(2, 0, 1);
    const before = rig.port.messages.length;
    rig.submit(1, read);
    expect(rig.port.messages.length).toBe(before + 1);
  });
  test('and those that a ring has no room for come a step later', () => {
    const rig = new NvmeRig();
    rig.enable();
    rig.addQueues(1, 256);
    for (let n = 0; n < 200; n++) rig.submit(1, read);
    expect(rig.reap(1)).toHaveLength(200);
  });
});
