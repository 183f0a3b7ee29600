/** Vectors V1 to V19 of devices.md 1.12, and what stands beside them. */
import { describe, expect, test, vi } from 'vitest';
import { AT, igbRig, plainFrame, REG, TX } from '../../testing/devices/igb-rig.ts';
import { Segment } from '../../testing/devices/fake-port.ts';

/** RCTL: EN, UPE, MPE, BAM, SECRC and MAC loopback. */
const LOOP = 0x0400_805a;
const LPE = 0x20;
const SECRC = 0x0400_0000;
const [UP, LSC] = [2, 4];

describe('PHY and NVM', () => {
  test.for([
    ['V1: the high half of the PHY id', 0x0822_0000, 0x1822_02a8],
    ['V2: the low half', 0x0823_0000, 0x1823_0391],
    ['V3: the link is up', 0x0821_0000, 0x1821_796d],
    ['V4: no other PHY is there', 0x0842_0000, 0x5842_0000],
    ['an access that reads and writes', 0x0c22_0000, 0x5c22_0000],
    ['polarity of page 0xb4', 0x0834_0000, 0x1834_0000],
  ] as const)('%s', ([, command, answer]) => {
    const { read, write } = igbRig();
    write(REG.mdic, command);
    expect(read(REG.mdic)).toBe(answer);
  });
  test('V5: words are read with START, their sum is 0xbaba, and beyond the last there is none', () => {
    const { read, write } = igbRig({ mac: '02:11:22:33:44:55' });
    const word = (at: number): number => {
      write(REG.eerd, (at << 2) | 1);
      return read(REG.eerd);
    };
    expect(word(0x3f) & 0xffff).toBe(0xfe);
    const words = Array.from({ length: 0x40 }, (_, at) => word(at) >>> 16);
    expect(words.reduce((sum, one) => (sum + one) & 0xffff)).toBe(0xbaba);
    expect(words.slice(0, 6)).toEqual([0x1102, 0x3322, 0x5544, 0, 0xffff, 0x1010]);
    expect(word(256)).toBe(256 << 2);
    write(REG.eerd, 0x3f << 2);
    expect(read(REG.eerd) & 2).toBe(0);
  });
  test('V6: the station address is that of the NVM after a reset', () => {
    const { device, read, write } = igbRig({ mac: '02:11:22:33:44:55' });
    write(REG.ral, 0);
    write(REG.rah, 0);
    device.reset('flr');
    expect([read(REG.ral), read(REG.rah)]).toEqual([0x3322_1102, 0x8000_5544]);
  });
});

describe('link', () => {
  test('V17: power-down takes the link away and power-up brings it back, each with one LSC', () => {
    const { read, write, port } = igbRig();
    write(REG.ims, LSC);
    write(REG.mdic, 0x0420_0000 | 0x1940);
    write(REG.mdic, 0x0821_0000);
    expect([read(REG.status) & UP, read(REG.mdic) & 4, port.messages]).toEqual([0, 0, [0]]);
    expect(read(REG.icr) & LSC).toBe(LSC);
    write(REG.mdic, 0x0420_0000 | 0x1340);
    expect([read(REG.status) & UP, port.messages]).toEqual([UP, [0, 0]]);
  });
  test('a plug that returns frames is up from power-on, and a reset is the same again', () => {
    const { device, read, port } = igbRig({ wire: 'self' });
    const atPowerOn = structuredClone(device.state());
    port.clock.advance(1000);
    expect([device.state(), read(REG.status) & UP]).toEqual([atPowerOn, UP]);
    device.reset('flr');
    expect(device.state()).toEqual(atPowerOn);
    expect(read(REG.icr) & LSC).toBe(0);
  });
  test('an NVM that is asked for is granted at once; presence and size cannot be written', () => {
    const { read, write } = igbRig();
    write(REG.eecd, 0xffff_ffff & ~0x40);
    expect(read(REG.eecd)).toBe(0x1337);
    write(REG.eecd, 0x40);
    expect(read(REG.eecd) & 0xc0).toBe(0xc0);
  });
  test('resetting the PHY by CTRL is told by STATUS until that is cleared', () => {
    const { read, write } = igbRig();
    write(REG.status, 0);
    expect(read(REG.status) & 0x400).toBe(0);
    write(REG.ctrl, read(REG.ctrl) | 0x8000_0000);
    expect(read(REG.status) & 0x402).toBe(0x400);
    write(REG.ctrl, read(REG.ctrl) & 0x7fff_ffff);
    expect(read(REG.status) & 0x402).toBe(0x402);
  });
});

describe('control', () => {
  test('V7: a software reset ends the stop of mastering and clears queues and vectors', () => {
    const { read, write } = igbRig();
    write(REG.rdbal, 0x1000);
    write(REG.eims, 1);
    write(REG.eitr, 0x40);
    write(REG.ctrl, read(REG.ctrl) | 4);
    expect(read(REG.status) & 0x8_0000).toBe(0);
    write(REG.ctrl, read(REG.ctrl) | 0x0400_0000);
    expect(read(REG.ctrl) & 0x0400_0004).toBe(0);
    expect(read(REG.status) & 0x8_0000).toBe(0x8_0000);
    expect([read(REG.rdbal), read(REG.eims), read(REG.eecd) & 0x200]).toEqual([0, 0, 0x200]);
    expect(read(REG.eitr)).toBe(0x40);
  });
  test('V8: the semaphore is taken by a load', () => {
    const { read, write } = igbRig();
    expect([read(REG.swsm), read(REG.swsm)]).toEqual([0, 1]);
    write(REG.swsm, 0);
    expect(read(REG.swsm)).toBe(0);
    write(REG.swsm, 2);
    expect(read(REG.swsm) & 2).toBe(2);
  });
  test('a queue is the same at its old and its new place', () => {
    const { read, write } = igbRig();
    write(0x2900, 0x1234_5680);
    write(0xe0c8, 0x100);
    expect([read(0xc040), read(0x3b08)]).toEqual([0x1234_5680, 0x100]);
  });
  test('the first queues are on at power-on, the others are not', () => {
    const { read } = igbRig();
    expect([0, 0x40].map((at) => read(REG.rxdctl + at))).toEqual([0x0201_0000, 0x0001_0000]);
    expect([0, 0x40].map((at) => read(REG.txdctl + at))).toEqual([0x0200_0000, 0]);
  });
  test('the clock of the device counts microseconds', () => {
    const { read, port } = igbRig();
    port.clock.advance(5_000_000);
    expect(read(REG.frtimer)).toBe(5000);
  });
});

/** What ethtool's own test writes and finds, with the drivers of Linux (devices.md 1.5). */
test.for([
  ['FCAL', REG.fcal, 0xffff_ffff],
  ['FCAH', REG.fcah, 0xffff],
  ['FCT', REG.fct, 0xffff],
  ['FCTTV', REG.fcttv, 0xffff],
  ['FCRTH', REG.fcrth, 0xfff0],
  ['VET', REG.vet, 0xffff_ffff],
  ['TIPG', REG.tipg, 0x3fff_ffff],
  ['RDBAL', REG.rdbal, 0xffff_ff80],
  ['RDBAH', REG.rdbah, 0xffff_ffff],
  ['RDLEN', REG.rdlen, 0xf_fff0],
  ['RDT', REG.rdt, 0xffff],
  ['TDBAL', REG.tdbal, 0xffff_ff80],
  ['TDLEN of queue 15', REG.tdlen + 15 * 0x40, 0xf_fff0],
  ['RAL', REG.ral + 8, 0xffff_ffff],
  ['RAH', REG.rah + 8, 0x83ff_ffff],
  ['RAH of address 23', REG.rahMore + 7 * 8, 0x83ff_ffff],
  ['MTA', REG.mta + 4 * 127, 0xffff_ffff],
] as const)('%s holds the bits it has, and no others', ([, at, bits]) => {
  const { read, write } = igbRig();
  for (const pattern of [0x5a5a_5a5a, 0xa5a5_a5a5, 0, 0xffff_ffff]) {
    write(at, pattern);
    expect(read(at)).toBe((pattern & bits) >>> 0);
  }
});

describe('interrupts', () => {
  test('V9: a vector is sent once, clears and masks itself, and comes again when it is enabled', () => {
    const { read, write, port } = igbRig();
    write(REG.gpie, 0x4000_0010);
    for (const at of [REG.eiac, REG.eiam, REG.eims, REG.eics]) write(at, 1);
    expect([port.messages, read(REG.eicr), read(REG.eims)]).toEqual([[0], 0, 0]);
    write(REG.eics, 1);
    expect(port.messages).toEqual([0]);
    write(REG.eims, 1);
    expect(port.messages).toEqual([0, 0]);
  });
  test('V10: without MSI-X of its own a cause sends message 0, and a load of ICR clears it', () => {
    const { read, write, port } = igbRig();
    write(REG.ims, 4);
    write(REG.ics, 4);
    expect(port.messages).toEqual([0]);
    expect([read(REG.icr), read(REG.icr), read(REG.imc)]).toEqual([0x8000_0004, 0, 0]);
  });
  test('a cause has the vector that IVAR_MISC says', () => {
    const { write, port } = igbRig();
    write(REG.gpie, 0x10);
    write(REG.ivarMisc, 0x8300);
    write(REG.eims, 8);
    write(REG.ims, 4);
    write(REG.ics, 4);
    expect(port.messages).toEqual([3]);
  });
  test('without messages the pin is up until the cause is read', () => {
    const { read, write, port } = igbRig();
    port.flip('messages', false);
    write(REG.ims, 4);
    write(REG.ics, 4);
    expect([port.pin, port.messages]).toEqual([true, []]);
    read(REG.icr);
    expect(port.pin).toBe(false);
    write(REG.ics, 4);
    write(REG.imc, 4);
    expect(port.pin).toBe(false);
    write(REG.ims, 4);
    expect(port.pin).toBe(true);
    port.flip('messages', true);
    expect(port.pin).toBe(false);
  });
});

describe('masks and queues', () => {
  test('a read masks what IAM says', () => {
    const { read, write } = igbRig();
    write(REG.iam, 0xffff_ffff);
    write(REG.ims, 5);
    write(REG.ics, 4);
    read(REG.icr);
    expect(read(REG.ims)).toBe(0);
  });
  test('V19: what is written back has the vectors of its queue, sent frames only where it was asked', () => {
    const { write, port, start, piece, ring, tick, queue } = igbRig();
    start(LOOP);
    write(REG.gpie, 0x10);
    write(REG.ivar, 0x8180);
    write(REG.eiac, 3);
    write(REG.eims, 3);
    queue(plainFrame(100));
    ring();
    tick();
    expect(port.messages.sort()).toEqual([0, 1]);
    piece(plainFrame(100), { command: TX.EOP });
    ring();
    tick();
    expect(port.messages).toEqual([0, 1, 0]);
  });
});

describe('frames', () => {
  test('V11: a frame that is looped back is written, reported and counted', () => {
    const { view, read, start, send, received } = igbRig();
    start(LOOP);
    const [entry = 0] = send(plainFrame(100));
    expect(view.getUint32(entry + 12, true) & 1).toBe(1);
    expect(received()).toEqual([{ frame: plainFrame(100), first: 0, hash: 0, status: 3, vlan: 0 }]);
    expect([read(REG.tdh), read(REG.rdh)]).toEqual([1, 1]);
    expect([read(REG.gptc), read(REG.gprc), read(REG.gptc)]).toEqual([1, 1, 0]);
    expect([read(REG.gotcl), read(REG.gorcl), read(REG.gorcl)]).toEqual([104, 104, 104]);
    expect([read(REG.gorch), read(REG.gorcl)]).toEqual([0, 0]);
  });
  test('V12: a checksum that is not stripped follows the frame', () => {
    const { start, send, received } = igbRig();
    start(LOOP & ~SECRC);
    send(new Uint8Array(60));
    const [one] = received();
    expect(one!.frame.length).toBe(64);
    // CRC-32 of 60 zero bytes.
    expect([...one!.frame.subarray(60)]).toEqual([0x08, 0x89, 0x12, 0x04]);
  });
  test('V13: a frame larger than a buffer goes into two', () => {
    const { view, start, send, received } = igbRig();
    start(LOOP | LPE);
    send(plainFrame(3000));
    const words = [0, 16].map((at) => [
      view.getUint16(AT.rxRing + at + 12, true),
      view.getUint32(AT.rxRing + at + 8, true),
    ]);
    expect(words).toEqual([
      [2048, 1],
      [952, 3],
    ]);
    expect(received()[0]!.frame).toEqual(plainFrame(3000));
  });
  test('V14: a short frame is padded, and counts as one of 64', () => {
    const { read, start, send, received } = igbRig();
    start(LOOP);
    send(plainFrame(40));
    expect(received()[0]!.frame.length).toBe(60);
    expect([read(REG.ptc64), read(REG.prc64)]).toEqual([1, 1]);
  });
});

describe('which frames', () => {
  test('V15: only frames for this station are received, and broadcasts where they are wanted', () => {
    const { read, start, send, received } = igbRig({ mac: '02:00:00:00:00:01' });
    start(LOOP & ~0x18);
    send(plainFrame(60, [2, 0, 0, 0, 0, 9]));
    expect([received(), read(REG.gprc)]).toEqual([[], 0]);
    send(plainFrame(60, [0xff, 0xff, 0xff, 0xff, 0xff, 0xff]), plainFrame(60));
    expect([received().length, read(REG.bprc)]).toEqual([2, 1]);
  });
  test('V16: a frame without a descriptor is missed', () => {
    const { read, write, start, send } = igbRig();
    start(LOOP);
    write(REG.rdt, 0);
    send(plainFrame(60));
    expect([read(REG.mpc), read(REG.rnbc), read(REG.rqdpc), read(REG.gprc)]).toEqual([1, 1, 1, 0]);
  });
  test('V18: the link of a port goes with that of its peer', () => {
    const segment = new Segment();
    const a = igbRig({ wire: 'b' }, { segment });
    const b = igbRig({}, { segment });
    b.tick();
    expect([a.read(REG.status) & UP, b.read(REG.status) & UP]).toEqual([UP, UP]);
    b.read(REG.icr);
    b.write(REG.ims, LSC);
    a.write(REG.mdic, 0x0420_0000 | 0x1940);
    a.tick();
    expect([b.read(REG.status) & UP, b.read(REG.icr) & LSC]).toEqual([0, LSC]);
  });
  test('two ports pass frames to each other', () => {
    const segment = new Segment();
    const a = igbRig({ wire: 'b' }, { segment });
    const b = igbRig({}, { segment });
    for (const port of [a, b]) port.start();
    a.send(plainFrame(100));
    b.send(plainFrame(200));
    expect(b.received().map(({ frame }) => frame)).toEqual([plainFrame(100)]);
    expect(a.received().map(({ frame }) => frame)).toEqual([plainFrame(200)]);
  });
});

describe('many', () => {
  test('a frame may lie in several descriptors, and they may come in several doorbells', () => {
    const { start, piece, ring, tick, received, read } = igbRig();
    start(LOOP);
    const frame = plainFrame(300);
    piece(frame.subarray(0, 14));
    ring();
    tick();
    expect(read(REG.tdh)).toBe(1);
    piece(frame.subarray(14, 200));
    piece(frame.subarray(200), { command: TX.EOP });
    ring();
    tick();
    expect(received().map((one) => one.frame)).toEqual([frame]);
  });
  test('a thousand frames go round the rings', () => {
    const { start, send, received } = igbRig({ wire: 'self' });
    start();
    for (let n = 0; n < 1000; n += 10) {
      const frames = Array.from({ length: 10 }, (_, k) => plainFrame(60 + ((n + k) % 500)));
      send(...frames);
      const back = received().map(({ frame }) => Buffer.from(frame).toString('hex'));
      expect(back).toEqual(frames.map((frame) => Buffer.from(frame).toString('hex')));
    }
  });
  test('a burst of 32 frames is five transfers', () => {
    const { start, send, received, port } = igbRig({ wire: 'self' });
    start();
    send(plainFrame(60));
    received();
    const [reads, writes] = [vi.spyOn(port.dma, 'read'), vi.spyOn(port.dma, 'write')];
    send(...Array.from({ length: 32 }, () => plainFrame(60)));
    // Descriptors and frames of the one side, descriptors of the other; reports, and frames with their descriptors.
    expect([reads.mock.calls.length, writes.mock.calls.length]).toEqual([3, 2]);
    expect(received()).toHaveLength(32);
  });
  test('a frame of the wire is lost while the receiver is off', () => {
    const { start, write, send, read } = igbRig({ wire: 'self' });
    start();
    write(REG.rctl, 0);
    send(plainFrame(60));
    expect([read(REG.rdh), read(REG.tpr)]).toEqual([0, 0]);
  });
});
