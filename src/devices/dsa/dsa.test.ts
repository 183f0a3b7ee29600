/** The vectors of devices.md 3.5, and what bad programming comes to. */
import { describe, expect, test } from 'vitest';
import {
  enabledDsa as enabled,
  dsaDescriptor as descriptor,
  putDsaBatch as putBatch,
  dsaBatch as batch,
  DST,
  SRC,
  RECORD,
  RECORDED,
  LIST,
  NOWHERE,
  type DsaRig as Rig,
  type Wanted,
} from '../../testing/devices/dsa-rig.ts';
import { CMD, FLAG, OP, DSA_REG as REG, DSA_PORTALS } from './dsa.ts';
describe('vectors of descriptors', () => {
  test('V7 a move, and its record', () => {
    const rig = enabled();
    rig.submit(descriptor());
    expect(rig.moved()).toBe(true);
    expect(rig.record()).toEqual({ status: 1, result: 0, completed: 0, faultAddress: 0n });
  });
  test('V8 success without a record asked for leaves it alone', () => {
    const rig = enabled();
    rig.submit(descriptor({ flags: FLAG.recordValid }));
    expect([rig.moved(), rig.record().status]).toEqual([true, 0]);
  });
  test.for<[string, Wanted, object]>([
    ['V9 a source that is not there', { src: NOWHERE }, { status: 3, faultAddress: NOWHERE }],
    ['V10 a destination that is not there', { dst: NOWHERE }, { status: 0x83, completed: 0 }],
    ['V14 an operation it does not know', { op: 0x3f }, { status: 0x10 }],
    ['V16 no bytes', { size: 0 }, { status: 0x13 }],
    ['too many bytes', { size: 0x1_0001 }, { status: 0x13 }],
    ['reserved flags', { flags: RECORDED | 0x80_0000 }, { status: 0x11 }],
    ['block on fault, which it cannot', { flags: RECORDED | 2 }, { status: 0x11 }],
    ['V13 a batch of one', { op: OP.batch, size: 1 }, { status: 0x14 }],
    ['a batch that is too long', { op: OP.batch, size: 1025 }, { status: 0x14 }],
    ['a list that is not aligned', { op: OP.batch, size: 2, src: LIST + 8 }, { status: 0x18 }],
    [
      'a list that is not there',
      { op: OP.batch, size: 2, src: NOWHERE },
      { status: 6, faultAddress: NOWHERE },
    ],
    ['a vector there is not', { flags: RECORDED | FLAG.interrupt, vector: 9 }, { status: 0x19 }],
  ])('%s', ([, wanted, record]) => {
    const rig = enabled();
    rig.submit(descriptor({ ...wanted, flags: wanted.flags ?? FLAG.recordValid }));
    expect(rig.record()).toMatchObject(record);
    expect([rig.read(REG.swerr, 8), rig.port.messages]).toEqual([0n, []]);
  });
});

describe('vectors of portals', () => {
  test('V15 the interrupt comes after the record', () => {
    const rig = enabled();
    rig.submit(descriptor({ flags: RECORDED | FLAG.interrupt, vector: 1 }));
    expect([rig.record().status, rig.port.messages]).toEqual([1, [1]]);
  });
  test('V17 a work queue that is disabled takes nothing', () => {
    const rig = enabled();
    rig.command(CMD.disableWq, 1);
    rig.submit(descriptor());
    expect([rig.port.touched, rig.read(REG.swerr, 8)]).toEqual([[], 0n]);
  });
  test('V18 a fill ends where it ends', () => {
    const rig = enabled();
    rig.submit(descriptor({ op: OP.fill, src: 0x0807_0605_0403_0201n, size: 11 }));
    const twelve = [...rig.port.memory.subarray(DST, DST + 12)];
    expect(twelve).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 1, 2, 3, 0]);
  });
  test('less than 64 bytes is no descriptor', () => {
    const rig = enabled();
    const words = new DataView(descriptor().buffer);
    for (let at = 0; at < 64; at += 8) {
      rig.device.mmioWrite(DSA_PORTALS, at, 8, words.getBigUint64(at, true));
    }
    expect(rig.port.touched).toEqual([]);
  });
});

describe('operations', () => {
  test.for<[string, Wanted, (memory: Uint8Array) => void, object]>([
    ['equal', {}, (m) => m.copyWithin(DST, SRC, SRC + 4096), { result: 0, completed: 0 }],
    [
      'different',
      {},
      (m) => {
        m.copyWithin(DST, SRC, SRC + 4096);
        m[DST + 99]! ^= 1;
      },
      { result: 1, completed: 99 },
    ],
    [
      'equal to a pattern',
      { op: OP.comparePattern, src: DST, dst: 0 },
      () => undefined,
      { result: 0 },
    ],
    [
      'different from a pattern',
      { op: OP.comparePattern, src: DST, dst: 0 },
      (m) => m.fill(1, DST + 5, DST + 6),
      { result: 1, completed: 5 },
    ],
  ])('a comparison of what is %s', ([, wanted, prepare, record]) => {
    const rig = enabled();
    prepare(rig.port.memory);
    rig.submit(descriptor({ op: OP.compare, ...wanted }));
    expect(rig.record()).toMatchObject({ status: 1, ...record });
  });
  test('ranges of a move may overlap', () => {
    const rig = enabled();
    const before = rig.port.memory.slice(SRC, SRC + 4096);
    rig.submit(descriptor({ dst: SRC + 100 }));
    expect(rig.port.memory.subarray(SRC + 100, SRC + 4196)).toEqual(before);
  });
  test.for([OP.none, OP.drain])('operation %i completes', (op) => {
    const rig = enabled();
    rig.submit(descriptor({ op, size: 0 }));
    expect([rig.record().status, rig.port.touched]).toEqual([1, ['write 1000']]);
  });
});

describe('batches', () => {
  const doneOf = (rig: Rig): boolean[] =>
    Array.from({ length: 16 }, (_, n) => rig.moved(DST + 256 * n, 256));
  const failed = (rig: Rig): number[] =>
    Array.from({ length: 16 }, (_, n) => rig.record(LIST + 0x1000 + 32 * n).status);

  test('all are done', () => {
    const rig = enabled();
    putBatch(rig);
    rig.submit(batch());
    expect(rig.record()).toMatchObject({ status: 1, completed: 16 });
    expect([doneOf(rig), failed(rig)]).toEqual([Array(16).fill(true), Array(16).fill(0)]);
  });
  test('V11 a member that fails is one of those that ended', () => {
    const rig = enabled();
    putBatch(rig, { 7: { src: NOWHERE } });
    rig.submit(batch());
    expect(rig.record()).toMatchObject({ status: 5, completed: 16 });
    expect(doneOf(rig)).toEqual(Array.from({ length: 16 }, (_, n) => n !== 7));
    expect(failed(rig)).toEqual(Array.from({ length: 16 }, (_, n) => (n === 7 ? 3 : 0)));
  });
  test('V12 a fence stops what follows a failure', () => {
    const rig = enabled();
    putBatch(rig, { 7: { src: NOWHERE }, 8: { flags: FLAG.recordValid | FLAG.fence } });
    rig.submit(batch());
    expect(rig.record()).toMatchObject({ status: 5, completed: 8 });
    expect(doneOf(rig)).toEqual(Array.from({ length: 16 }, (_, n) => n < 7));
  });
  test('a fence without a failure stops nothing', () => {
    const rig = enabled();
    putBatch(rig, { 8: { flags: FLAG.recordValid | FLAG.fence } });
    rig.submit(batch());
    expect(rig.record()).toMatchObject({ status: 1, completed: 16 });
  });
  test('a batch is no member of a batch', () => {
    const rig = enabled();
    putBatch(rig, { 3: { op: OP.batch, src: LIST, size: 2 } });
    rig.submit(batch());
    expect([rig.record().status, failed(rig)[3]]).toEqual([5, 0x10]);
  });
  test('a long one goes on tick by tick, and others wait behind it', () => {
    const rig = enabled();
    putBatch(rig, {}, 512);
    rig.submit(batch({ size: 512 }));
    rig.submit(descriptor({ record: RECORD + 32, dst: 0x3_0000 }), 1);
    expect([rig.record().status, rig.record(RECORD + 32).status]).toEqual([0, 0]);
    rig.port.clock.advance(0);
    expect([rig.record().completed, rig.record(RECORD + 32).status]).toEqual([512, 1]);
  });
});

describe('errors of the software', () => {
  const ERROR = (1 << 0) | (1 << 2) | (1 << 3);
  test.for<[string, Wanted, number, bigint]>([
    ['a failure without a record', { flags: 0, src: NOWHERE }, ERROR | (3 << 8), NOWHERE],
    ['a record that is not there', { record: NOWHERE }, ERROR | 0x20 | (0x1a << 8), NOWHERE],
    ['a record that is not aligned', { record: RECORD + 8 }, ERROR | (0x1b << 8), 0n],
  ])('%s', ([, wanted, word, address]) => {
    const rig = enabled();
    rig.write(REG.genctrl, 1);
    rig.submit(descriptor(wanted), 1);
    expect(rig.read(REG.swerr, 8)).toBe(BigInt(word) | (1n << 16n) | (3n << 32n));
    expect(rig.read(REG.swerr + 16, 8)).toBe(address);
    expect([rig.read(REG.intcause), rig.port.messages]).toEqual([1n, [0]]);
  });
  test('of a member says which, and a second one shows', () => {
    const rig = enabled();
    putBatch(rig, { 2: { flags: 0, dst: NOWHERE }, 5: { flags: 0, op: 0x3f } });
    rig.submit(batch());
    expect(rig.read(REG.swerr) & 0xffffn).toBe(0x833fn);
    expect([rig.read(REG.swerr + 8, 8), rig.port.messages]).toEqual([2n, []]);
    rig.write(REG.swerr, 2);
    expect(rig.read(REG.swerr) & 3n).toBe(1n);
    rig.write(REG.swerr, 1);
    expect([rig.read(REG.swerr, 8), rig.read(REG.swerr + 16, 8)]).toEqual([0n, 0n]);
  });
});
