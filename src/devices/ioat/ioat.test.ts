/** The vectors of devices.md 2.6, and what bad programming comes to. */
import { describe, expect, test } from 'vitest';
import { plugInto } from '../../testing/devices/fake-port.ts';
import {
  CHANCMD,
  CHANERR,
  CONFIG_CHANERR,
  CTL,
  CTL_FILL,
  DMA_DESCRIPTOR,
  ioat,
  IOAT_REG as REG,
} from './ioat.ts';

const SRC = 0x4000;
const DST = 0x8000;
/** A word of memory for completions. */
const WORD = 0x3000;
/** Descriptors of a ring of four. */
const D = [0x1000, 0x1040, 0x1080, 0x10c0] as const;

interface Wanted {
  readonly size?: number;
  readonly ctl?: number;
  readonly src?: bigint;
  readonly dst?: bigint;
  readonly next?: number;
}

function setup(options: Record<string, number> = {}) {
  const { device, port } = plugInto(ioat, options);
  port.memory.set(
    Array.from({ length: 0x1000 }, (_, n) => n * 7 + 1),
    SRC,
  );
  const words = new DataView(port.memory.buffer);
  return {
    device,
    port,
    read: (at: number, width: number) => device.mmioRead(0, at, width),
    write: (at: number, width: number, value: number | bigint) =>
      device.mmioWrite(0, at, width, BigInt(value)),
    word: () => words.getBigUint64(WORD, true),
    /** A copy of 64 bytes, linked to itself, but for what is said. */
    put(at: number, { size = 64, ctl = 0, src, dst, next = at }: Wanted = {}) {
      const made = DMA_DESCRIPTOR.make({
        ...{ size, ctl, next: BigInt(next) },
        ...{ src: src ?? BigInt(SRC), dst: dst ?? BigInt(DST) },
      });
      port.memory.set(made.bytes, at);
    },
    moved: (size = 64) =>
      port.memory.subarray(DST, DST + size).every((byte, n) => byte === port.memory[SRC + n]),
  };
}
type Rig = ReturnType<typeof setup>;

/** Completions are written, as DPDK has it. */
function start(rig: Rig, at: number): void {
  rig.write(REG.chainaddr, 8, at);
  rig.write(REG.chancmp, 8, WORD);
  rig.write(REG.chanctrl, 2, 0x0c);
}
function putRing(rig: Rig, wanted: readonly Wanted[] = [{}, {}, {}, {}]): void {
  for (const [n, at] of D.entries()) {
    rig.put(at, { ctl: CTL.completionWrite, next: D[(n + 1) % 4]!, ...wanted[n] });
  }
}

describe('vectors of a chain', () => {
  test('V1 one channel, version 3.3, halted', () => {
    const { read } = setup();
    expect([read(0, 1), read(8, 1), read(0x88, 8)]).toEqual([1n, 0x33n, 3n]);
    expect(setup({ cbver: 0x34 }).read(8, 1)).toBe(0x34n);
    expect(setup({ xfercap: 20 }).read(1, 1)).toBe(20n);
  });
  test('V2 a reset command is over at the next read', () => {
    const { read, write } = setup();
    write(0x84, 1, 0x20);
    expect([read(0x84, 1), read(0x88, 8)]).toEqual([0n, 3n]);
  });
  test('V3 V4 V5 a chain arms, a count copies, a suspension shows', () => {
    const rig = setup();
    rig.put(D[0]);
    rig.write(0x90, 8, D[0]);
    expect(rig.read(0x88, 8)).toBe(4n);
    rig.write(0x80, 2, 9);
    rig.write(0x86, 2, 1);
    expect([rig.read(0x88, 8), rig.moved()]).toEqual([BigInt(D[0] | 1), true]);
    rig.write(0x84, 1, CHANCMD.suspend);
    expect(rig.read(0x88, 8)).toBe(BigInt(D[0] | 2));
    expect(rig.port.messages).toEqual([]);
  });
  test('V6 the completion word follows the ring', () => {
    const rig = setup();
    putRing(rig);
    start(rig, D[0]);
    rig.write(0x86, 2, 3);
    expect(rig.word()).toBe(BigInt(D[2] | 1));
    rig.write(0x86, 2, 4);
    expect(rig.word()).toBe(BigInt(D[3] | 1));
    rig.write(0x86, 2, 5); //            around
    expect(rig.word()).toBe(BigInt(D[0] | 1));
  });
});

describe('vectors of errors', () => {
  test('V7 V9 an error stops behind the last good one, and the recovery goes on after it', () => {
    const rig = setup();
    putRing(rig, [{}, { src: 0x10_0000n }, { dst: BigInt(DST + 0x100) }, {}]);
    start(rig, D[0]);
    rig.write(0x86, 2, 3);
    expect(rig.word()).toBe(BigInt(D[0] | 3));
    expect([rig.read(0xa8, 4), rig.read(0x88, 8)]).toEqual([1n, BigInt(D[0] | 3)]);
    expect(rig.port.memory[DST + 0x100]).toBe(0);
    rig.write(0xa8, 4, 1);
    expect(rig.read(0xa8, 4)).toBe(0n);
    rig.write(0x84, 1, 0x20);
    rig.write(0x90, 8, D[2]);
    expect(rig.read(0x88, 8)).toBe(4n);
    rig.write(0x86, 2, 1);
    expect(rig.word()).toBe(BigInt(D[2] | 1));
    expect(rig.port.memory[DST + 0x100]).toBe(1);
  });
  test('V8 an error of the first shows no address', () => {
    const rig = setup();
    putRing(rig, [{ src: 0x10_0000n }, {}, {}, {}]);
    start(rig, D[0]);
    rig.write(0x86, 2, 3);
    expect(rig.word()).toBe(3n);
  });
});

describe('vectors of descriptors', () => {
  test('V10 the count is modulo 65536', () => {
    const rig = setup();
    rig.put(D[0]);
    rig.write(0x90, 8, D[0]);
    rig.write(0x86, 2, 65535);
    expect(rig.read(0x88, 8) & 7n).toBe(0n);
    rig.port.clock.advance(0);
    expect(rig.read(0x88, 8)).toBe(BigInt(D[0] | 1));
    rig.port.touched.length = 0;
    rig.write(0x86, 2, 0);
    expect(rig.port.touched).toEqual(['read 1000', 'read 4000', 'write 8000']);
    expect(rig.read(0x88, 8)).toBe(BigInt(D[0] | 1));
  });
  test('V11 a fill writes its pattern and no byte more', () => {
    const rig = setup();
    rig.put(D[0], { ctl: CTL_FILL, size: 5, src: 0xfedc_ba98_7654_3210n });
    rig.write(0x90, 8, D[0]);
    rig.write(0x86, 2, 1);
    const six = [...rig.port.memory.subarray(DST, DST + 6)];
    expect(six).toEqual([0x10, 0x32, 0x54, 0x76, 0x98, 0]);
  });
  test('V12 an interrupt is a message, and attention until it is read', () => {
    const rig = setup();
    rig.put(D[0], { ctl: CTL.interrupt });
    rig.write(3, 1, 8);
    rig.write(0x90, 8, D[0]);
    rig.write(0x86, 2, 1);
    expect(rig.port.messages).toEqual([0]);
    expect([rig.read(4, 4), rig.read(4, 4)]).toEqual([1n, 0n]);
  });
  test('V13 a halted channel ignores counts', () => {
    const rig = setup();
    rig.write(0x86, 2, 1);
    expect([rig.read(0x88, 8), rig.port.touched]).toEqual([3n, []]);
  });
  test('V14 two halves of the address are one', () => {
    const rig = setup();
    rig.put(D[1]);
    rig.write(0x90, 4, D[1]);
    rig.write(0x94, 4, 0);
    expect(rig.read(0x88, 8)).toBe(4n);
    rig.write(0x86, 2, 1);
    expect(rig.read(0x88, 8)).toBe(BigInt(D[1] | 1));
    expect([rig.read(0x88, 4), rig.read(0x8c, 4)]).toEqual([BigInt(D[1] | 1), 0n]);
  });
  test('V15 nothing to copy is an error of length', () => {
    const rig = setup();
    rig.put(D[0], { size: 0 });
    rig.write(0x90, 8, D[0]);
    rig.write(0x86, 2, 1);
    expect(rig.read(0xa8, 4)).toBe(0xc00n);
  });
});

describe('states', () => {
  test('a count of nothing leaves it armed', () => {
    const rig = setup();
    rig.put(D[0]);
    start(rig, D[0]);
    rig.write(0x86, 2, 0);
    expect([rig.read(0x88, 8), rig.port.touched]).toEqual([4n, []]);
  });
  test('what comes while it is suspended is done when it goes on', () => {
    const rig = setup();
    rig.put(D[0]);
    rig.write(0x90, 8, D[0]);
    rig.write(0x84, 1, CHANCMD.suspend);
    rig.write(0x86, 2, 1);
    expect([rig.read(0x88, 8), rig.moved()]).toEqual([2n, false]);
    rig.write(0x84, 1, CHANCMD.resume);
    expect([rig.read(0x88, 8), rig.moved()]).toEqual([BigInt(D[0] | 1), true]);
  });
  test.for([
    ['suspended', CHANCMD.suspend, 2n],
    ['aborted', CHANCMD.abort, 3n],
    ['reset', CHANCMD.reset, 3n],
  ] as const)('a long chain can be %s in the middle', ([, command, state]) => {
    const rig = setup();
    rig.put(D[0]);
    rig.write(0x90, 8, D[0]);
    rig.write(0x86, 2, 60000);
    rig.write(0x84, 1, command);
    rig.port.touched.length = 0;
    rig.port.clock.advance(1e9);
    expect([rig.read(0x88, 8) & 7n, rig.port.touched]).toEqual([state, []]);
  });
  test('a suspended chain goes on where it was', () => {
    const rig = setup();
    rig.put(D[0], { size: 8 });
    rig.write(0x90, 8, D[0]);
    rig.write(0x86, 2, 200);
    rig.write(0x84, 1, CHANCMD.suspend);
    rig.write(0x84, 1, CHANCMD.resume);
    rig.port.clock.advance(0);
    expect(rig.port.touched.filter((text) => text === 'write 8000')).toHaveLength(200);
  });
});

describe('a channel', () => {
  test('a chain that is written while it works does not move the channel', () => {
    const rig = setup();
    rig.put(D[0]);
    rig.write(0x90, 8, D[0]);
    rig.write(0x86, 2, 1000);
    rig.write(0x90, 8, D[2]);
    expect(rig.read(0x88, 8) & 7n).toBe(0n);
  });
  test('a reset of the channel keeps control, completion address and errors', () => {
    const rig = setup();
    start(rig, D[0]);
    rig.put(D[0], { size: 0 });
    rig.write(0x86, 2, 1);
    rig.write(0x84, 1, 0x20);
    const kept = [rig.read(0x80, 2), rig.read(0x98, 8), rig.read(0xa8, 4)];
    expect(kept).toEqual([0x0cn, BigInt(WORD), 0xc00n]);
  });
});

const NOWHERE = 0x7fff_0000n;

describe('errors', () => {
  test.for<[string, Wanted, number]>([
    ['a source that is not there', { src: NOWHERE }, CHANERR.sourceAddress],
    ['a destination that is not there', { dst: NOWHERE }, CHANERR.destinationAddress],
    ['an operation it does not know', { ctl: 0x87 << 24 }, CHANERR.control],
    ['reserved bits', { ctl: 0x800 }, CHANERR.control],
    ['too many bytes', { size: 0x1_0001 }, CHANERR.control | CHANERR.length],
  ])('%s', ([, wanted, bits]) => {
    const rig = setup();
    rig.put(D[0], { ...wanted, ctl: (wanted.ctl ?? 0) | CTL.interrupt });
    rig.write(0x90, 8, D[0]);
    rig.write(0x86, 2, 1);
    expect([rig.read(0xa8, 4), rig.read(0x88, 8)]).toEqual([BigInt(bits), 3n]);
    expect(rig.port.messages).toEqual([]);
    expect(rig.port.configured.get(CONFIG_CHANERR)).toBe(bits);
  });
  test.for<[string, number, number]>([
    ['a chain that is not aligned', 0x1020, CHANERR.chainAddress],
    ['a chain that is not there', 0x7fff_0000, CHANERR.readData],
  ])('%s', ([, at, bits]) => {
    const rig = setup();
    rig.write(0x90, 8, at);
    rig.write(0x86, 2, 1);
    expect(rig.read(0xa8, 4)).toBe(BigInt(bits));
  });
  test('a link that is not aligned, after a good descriptor', () => {
    const rig = setup();
    rig.put(D[0], { next: 0x1044 });
    rig.write(0x90, 8, D[0]);
    rig.write(0x86, 2, 2);
    expect([rig.read(0xa8, 4), rig.read(0x88, 8)]).toEqual([4n, BigInt(D[0] | 3)]);
  });
});

describe('completions', () => {
  test('a completion that cannot be written halts it behind the work', () => {
    const rig = setup();
    rig.put(D[0], { ctl: CTL.completionWrite | CTL.interrupt });
    rig.write(0x90, 8, D[0]);
    rig.write(0x98, 8, NOWHERE);
    rig.write(0x86, 2, 1);
    expect([rig.read(0xa8, 4), rig.moved()]).toEqual([0x1000n, true]);
    expect(rig.read(0x88, 8)).toBe(BigInt(D[0] | 3));
    expect(rig.port.messages).toEqual([]);
  });
  test('errors interrupt and are written only where that was asked for', () => {
    const rig = setup();
    rig.put(D[0], { size: 0 });
    rig.write(0x90, 8, D[0]);
    rig.write(0x98, 8, WORD);
    rig.write(0x80, 2, 0x10);
    rig.write(0x86, 2, 1);
    expect([rig.port.messages, rig.word()]).toEqual([[0], 0n]);
  });
  test('without bus mastering the descriptor cannot be read', () => {
    const rig = setup();
    rig.put(D[0]);
    rig.port.flip('busMaster', false);
    rig.write(0x90, 8, D[0]);
    rig.write(0x86, 2, 1);
    expect(rig.read(0xa8, 4)).toBe(BigInt(CHANERR.readData));
  });
});

test('a null descriptor completes and moves nothing', () => {
  const rig = setup();
  rig.put(D[0], { ctl: CTL.null | CTL.completionWrite | CTL.interrupt, size: 1, dst: 1n << 40n });
  start(rig, D[0]);
  rig.write(0x86, 2, 1);
  expect([rig.word(), rig.port.messages]).toEqual([BigInt(D[0] | 1), [0]]);
});
test('after an error the first descriptor is read later, once, and the channel is active meanwhile', () => {
  const rig = setup({ recovery_us: 10 });
  const begin = (): void => {
    rig.write(0x80 + 4, 1, 0x20);
    rig.write(0x90, 8, D[0]);
    rig.write(0x86, 2, 1);
  };
  rig.put(D[0]);
  begin();
  expect([rig.read(0x88, 8), rig.moved()]).toEqual([BigInt(D[0] | 1), true]);
  rig.put(D[0], { size: 0 });
  begin();
  expect(rig.read(0x88, 8) & 7n).toBe(3n);
  rig.put(D[0]);
  begin();
  rig.port.clock.advance(9_999);
  expect(rig.read(0x88, 8)).toBe(0n);
  rig.port.clock.advance(1);
  expect(rig.read(0x88, 8)).toBe(BigInt(D[0] | 1));
  begin();
  expect(rig.read(0x88, 8)).toBe(BigInt(D[0] | 1));
});
test('IN_USE never reads as set', () => {
  const { read, write } = setup();
  write(0x80, 2, 0xffff);
  expect(read(0x80, 2)).toBe(0xfeffn);
});

test('a shorter copy behind a longer one, and a filling behind both, write their own bytes', () => {
  const rig = setup();
  const [long, short] = [BigInt(DST), BigInt(DST + 0x1000)];
  putRing(rig, [
    { size: 0x1000, dst: long },
    { size: 16, src: BigInt(SRC + 64), dst: short },
    { size: 8, ctl: CTL_FILL, src: 0x55n, dst: short + 64n },
    {},
  ]);
  start(rig, D[0]);
  rig.write(REG.dmacount, 2, 3);
  rig.port.clock.advance(0);
  expect(rig.moved(0x1000)).toBe(true);
  const at = DST + 0x1000;
  expect(rig.port.memory.subarray(at, at + 17)).toEqual(
    Uint8Array.of(...rig.port.memory.subarray(SRC + 64, SRC + 80), 0),
  );
  expect([...rig.port.memory.subarray(at + 64, at + 73)]).toEqual([0x55, 0, 0, 0, 0, 0, 0, 0, 0]);
});
