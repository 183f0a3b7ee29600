/** Bad programming of an 82576 (devices.md 1.11): faults, lies and nonsense, and the queues work on. */
import { describe, expect, test } from 'vitest';
import fc from 'fast-check';
import { AT, igbRig, plainFrame, REG, RING, TX } from '../../testing/devices/igb-rig.ts';

/** RCTL: EN, UPE, MPE, LPE, BAM, SECRC and MAC loopback. */
const LOOP = 0x0400_807a;
/** Beyond the memory of the fake port. */
const NOWHERE = 0xdead_0000_0000n;

function looped() {
  const rig = igbRig();
  rig.start(LOOP);
  /** The queue still works. */
  const works = (): void => {
    rig.received();
    rig.send(plainFrame(80));
    expect(rig.received().map(({ frame }) => frame.length)).toEqual([80]);
  };
  return { ...rig, works };
}

describe('faults', () => {
  test.for([0, 1, 2])('the buffer of frame %d of three is refused: that one is lost', (bad) => {
    const { view, queue, ring, tick, received, read, works } = looped();
    const entries = [60, 61, 62].map((length) => queue(plainFrame(length)));
    view.setBigUint64(entries[bad]!, NOWHERE, true);
    ring();
    tick();
    const lengths = received().map(({ frame }) => frame.length);
    expect(lengths).toEqual([60, 61, 62].filter((_, n) => n !== bad));
    const done = entries.map((entry) => view.getUint32(entry + 12, true) & 1);
    expect(done).toEqual([0, 1, 2].map((n) => (n === bad ? 0 : 1)));
    expect(read(REG.tdh)).toBe(3);
    works();
  });
  test.for([0, 1, 2])('receive buffer %d of three is refused: its descriptor is kept', (bad) => {
    const { view, send, received, read, works } = looped();
    view.setBigUint64(AT.rxRing + 16 * bad, NOWHERE, true);
    send(plainFrame(60), plainFrame(61), plainFrame(62));
    expect(received().map(({ frame }) => frame.length)).toEqual([60, 61, 62].slice(0, bad));
    expect([read(REG.rdh), read(REG.mpc), read(REG.gprc)]).toEqual([bad, 3 - bad, bad]);
    view.setBigUint64(AT.rxRing + 16 * bad, BigInt(AT.rx + 2048 * bad), true);
    works();
  });
  test.for([
    ['transmit', REG.tdbah],
    ['receive', REG.rdbah],
  ] as const)(
    'the %s ring is refused: heads go on or stay, and nothing is written',
    ([what, high]) => {
      const { view, write, send, received, read, works, port } = looped();
      write(high, 0xdead);
      const [entry = 0] = send(plainFrame(60));
      const isTx = what === 'transmit';
      expect([read(REG.tdh), read(REG.rdh), read(REG.mpc)]).toEqual([1, 0, isTx ? 0 : 1]);
      expect(view.getUint32(entry + 12, true) & 1).toBe(isTx ? 0 : 1);
      expect(port.touched.filter((one) => one.startsWith('write')).length).toBe(isTx ? 0 : 1);
      write(high, 0);
      expect(received()).toEqual([]);
      works();
    },
  );
  test('a ring that ends where memory ends: what lies before is sent', () => {
    const { view, write, port, tick, read, received } = looped();
    const base = port.memory.length - 128;
    port.memory.set(plainFrame(70), AT.tx);
    for (const n of [6, 7]) {
      view.setBigUint64(base + 16 * n, BigInt(AT.tx), true);
      view.setUint32(base + 16 * n + 8, 0x2230_0000 | TX.EOP | 70, true);
    }
    write(REG.tdbal, base);
    write(REG.tdh, 6);
    write(REG.tdt, 11);
    for (let n = 0; n < 5; n++) tick();
    expect([received().length, read(REG.tdh)]).toEqual([2, 11]);
  });
});

describe('faults of everything', () => {
  test('without bus mastering nothing moves, and the queue works when it is back', () => {
    const { port, send, received, works } = looped();
    port.flip('busMaster', false);
    send(plainFrame(60));
    expect(received()).toEqual([]);
    port.flip('busMaster', true);
    works();
  });
});

describe('nonsense', () => {
  test.for([
    ['no ring', 0],
    ['a ring of less than 128 bytes', 64],
    ['a ring that is no multiple of 128 bytes', RING * 16 + 16],
  ] as const)('%s: the queue is idle', ([, length]) => {
    const { write, queue, ring, tick, read, port } = looped();
    write(REG.tdlen, length);
    queue(plainFrame(60));
    ring();
    tick();
    expect([read(REG.tdh), port.touched]).toEqual([0, []]);
  });
  test('a tail beyond the ring counts modulo its size', () => {
    const { write, queue, tick, received, read } = looped();
    queue(plainFrame(60));
    write(REG.tdt, RING + 1);
    tick();
    expect([received().length, read(REG.tdh)]).toEqual([1, 1]);
  });
  test('descriptors of unknown kinds, and of the old form, are passed over', () => {
    const { put, queue, ring, tick, received, read } = looped();
    put(BigInt(AT.tx), 0x2010_0000 | TX.EOP | 60, 0);
    put(BigInt(AT.tx), TX.EOP | 60, 0);
    queue(plainFrame(60));
    ring();
    tick();
    expect([received().length, read(REG.tdh)]).toEqual([1, 3]);
  });
});

describe('frames that are none', () => {
  test('a frame without an end is dropped when its queue is switched off', () => {
    const { write, piece, ring, tick, received, works } = looped();
    piece(plainFrame(60));
    ring();
    tick();
    write(REG.txdctl, 0);
    write(REG.txdctl, 0x0200_0000);
    expect(received()).toEqual([]);
    works();
  });
  test('a frame longer than any is discarded', () => {
    const { put, ring, tick, received, works } = looped();
    for (let n = 0; n < 8; n++) put(BigInt(AT.tx), 0x2230_ffff, 0);
    put(BigInt(AT.tx), 0x2230_0000 | TX.EOP | 60, 0);
    ring();
    tick();
    expect(received()).toEqual([]);
    works();
  });
  test('a report before the end of its frame comes with the end', () => {
    const { view, piece, ring, tick, received } = looped();
    const frame = plainFrame(100);
    const early = piece(frame.subarray(0, 50), { command: TX.RS });
    ring();
    tick();
    expect(view.getUint32(early + 12, true) & 1).toBe(0);
    const last = piece(frame.subarray(50), { command: TX.RS | TX.EOP });
    ring();
    tick();
    expect([early, last].map((at) => view.getUint32(at + 12, true) & 1)).toEqual([1, 1]);
    expect(received()[0]!.frame).toEqual(frame);
  });
  test('4095 frames in one doorbell are sent over several turns', () => {
    const { write, view, port, read } = igbRig({}, { memory: 0x20_0000 });
    write(REG.tctl, 0xa);
    write(REG.tdbal, 0x10_0000);
    write(REG.tdlen, 4096 * 16);
    for (let n = 0; n < 4096; n++) {
      view.setBigUint64(0x10_0000 + 16 * n, 0x1000n, true);
      view.setUint32(0x10_0000 + 16 * n + 8, 0x2230_0000 | TX.EOP | 64, true);
    }
    write(REG.tdt, 4095);
    const heads: number[] = [];
    for (const now = port.clock.nowNs; read(REG.tdh) !== 4095 && heads.length < 100;) {
      port.clock.advanceOnceTo(now);
      heads.push(read(REG.tdh));
    }
    expect(heads.length).toBeGreaterThan(10);
    expect(read(REG.gptc)).toBe(4095);
  });
});

test('any program of registers is answered, and leaves a device that resets to power-on', () => {
  const offsets = Object.values(REG);
  const store = fc.record({
    at: fc.oneof(fc.constantFrom(...offsets), fc.nat(0x1_ffff)),
    width: fc.constantFrom(1, 2, 4, 8),
    value: fc.oneof(
      fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
      fc.bigInt({ min: 0n, max: 0x1000n }),
    ),
  });
  const fresh = igbRig().device.state();
  fc.assert(
    fc.property(fc.array(store, { maxLength: 60 }), (program) => {
      const { device, port, start } = igbRig({ wire: 'self' });
      start(LOOP);
      for (const { at, width, value } of program) {
        device.mmioWrite(0, at, width, BigInt.asUintN(8 * width, value));
        expect(device.mmioRead(0, at, width)).toBeLessThan(1n << BigInt(8 * width));
        port.clock.advanceOnceTo(port.clock.nowNs + 1000);
      }
      device.reset('flr');
      expect(device.state()).toEqual(fresh);
      const touched = port.touched.length;
      port.clock.advance(1e9);
      expect(port.touched.length).toBe(touched);
    }),
    { numRuns: 150 },
  );
});
