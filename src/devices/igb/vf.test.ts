/** Virtual functions of an 82576 (devices.md 1.9): mailboxes, vectors, queues, and frames between functions. */
import { describe, expect, test } from 'vitest';
import { AT, igbRig, plainFrame, REG, RING } from '../../testing/devices/igb-rig.ts';
import { FakePort } from '../../testing/devices/fake-port.ts';
import { offsetsOf } from '../unit/registers.ts';
import { VF_REGISTERS } from './vf.ts';

const VF = offsetsOf(VF_REGISTERS);
const RX = 0x2800;
const TX = 0x3800;

/** A physical function with `count` virtual ones switched on, the first of which is driven. */
function withFunctions(count = 1) {
  const pf = igbRig();
  const made = Array.from({ length: count }, (_, index) => {
    const port = new FakePort({ memory: 0x10_0000 });
    const device = pf.device.virtualFunction!(index, port);
    device.powerOn();
    const read = (at: number): number => Number(device.mmioRead(0, at, 4));
    const write = (at: number, value: number): void =>
      device.mmioWrite(0, at, 4, BigInt(value >>> 0));
    return { device, port, read, write, view: new DataView(port.memory.buffer) };
  });
  pf.port.virtualFunctions = count;
  return { pf, vf: made[0]!, made };
}
const [REQUEST, ACK, VFU, PFU, SAYS, TOOK, RSTI, RSTD] = [1, 2, 4, 8, 16, 32, 64, 128];

describe('mailbox', () => {
  test('the physical function is not there until it says so, which is heard once', () => {
    const { pf, vf } = withFunctions();
    expect(vf.read(VF.v2pMailbox)).toBe(RSTI);
    pf.write(REG.ctrlExt, 1 << 14);
    expect([vf.read(VF.v2pMailbox), vf.read(VF.v2pMailbox)]).toEqual([RSTD, 0]);
    pf.write(REG.ctrl, 1 << 26);
    expect(vf.read(VF.v2pMailbox)).toBe(RSTI);
  });
  test('a message goes up and its answer down, each with its interrupt', () => {
    const { pf, vf } = withFunctions();
    pf.write(REG.ctrlExt, 1 << 14);
    vf.read(VF.v2pMailbox);
    pf.write(REG.ims, 0x100);
    vf.write(VF.vtivarMisc, 0x82);
    vf.write(VF.vteims, 7);
    vf.write(VF.v2pMailbox, VFU);
    vf.write(0x800, 0x1234_5678);
    vf.write(VF.v2pMailbox, REQUEST);
    expect([pf.read(0x800), pf.read(REG.mbvficr), pf.port.messages]).toEqual([0x1234_5678, 1, [0]]);
    pf.write(REG.p2vMailbox, PFU);
    pf.write(0x83c, 7);
    pf.write(REG.p2vMailbox, REQUEST | ACK);
    expect([vf.read(0x83c), vf.port.messages]).toEqual([7, [2]]);
    expect([vf.read(VF.v2pMailbox), vf.read(VF.v2pMailbox)]).toEqual([SAYS | TOOK, 0]);
    vf.write(VF.v2pMailbox, ACK);
    expect(pf.read(REG.mbvficr)).toBe(0x1_0001);
    pf.write(REG.mbvficr, 1);
    expect(pf.read(REG.mbvficr)).toBe(0x1_0000);
  });
  test('one at a time uses it, and the physical function may take it', () => {
    const { pf, vf } = withFunctions();
    vf.write(VF.v2pMailbox, VFU);
    pf.write(REG.p2vMailbox, PFU);
    expect(pf.read(REG.p2vMailbox)).toBe(VFU);
    pf.write(REG.p2vMailbox, 16 | PFU);
    expect(pf.read(REG.p2vMailbox)).toBe(PFU);
    vf.write(VF.v2pMailbox, VFU);
    expect(vf.read(VF.v2pMailbox) & (VFU | PFU)).toBe(PFU);
  });
});

describe('vectors', () => {
  test('three of the physical ones are those of a virtual function, whatever GPIE says', () => {
    const { pf, made } = withFunctions(2);
    const second = made[1]!;
    second.write(VF.vteiac, 5);
    second.write(VF.vteims, 5);
    second.write(VF.vteics, 7);
    expect([second.port.messages, made[0]!.port.messages, pf.port.messages]).toEqual([
      [0, 2],
      [],
      [],
    ]);
    expect([pf.read(REG.eims), second.read(VF.vteims)]).toEqual([5 << 19, 5]);
    expect([second.read(VF.vteicr), pf.read(REG.eicr)]).toEqual([2, 0]);
  });
  test('its IVAR is that of its queues in the numbers of the physical function', () => {
    const { pf, vf } = withFunctions();
    vf.write(VF.vtivar, 0x0082_8180);
    expect([pf.read(REG.ivar), vf.read(VF.vtivar)]).toEqual([0x0098_9796, 0x0082_8180]);
    vf.write(VF.vteitr + 4, 0x40);
    expect(pf.read(REG.eitr + 4 * 23)).toBe(0x40);
  });
});

/** Pools: the first for the virtual function at 02:…:77, the second for the physical one. */
function pooled() {
  const { pf, vf } = withFunctions();
  pf.start(0x0400_8002);
  pf.write(REG.mrqc, 3);
  pf.write(REG.vtCtl, 1 << 7);
  pf.write(REG.rah, 0x8008_0100);
  pf.write(0x5408, 0x02);
  pf.write(0x540c, 0x8004_7700);
  for (const at of [REG.vmolr, REG.vmolr + 4]) pf.write(at, 0x8800_2600);
  // The physical function's queue is that of the second pool now.
  for (const [at, value] of [
    [0xc040, AT.rxRing],
    [0xc048, RING * 16],
    [0xc04c, 0x0200_0000],
    [0xc068, 1 << 25],
    [0xc058, RING - 1],
    [0xe040, AT.txRing],
    [0xe048, RING * 16],
    [0xe068, 1 << 25],
  ] as const) {
    pf.write(at, value);
  }
  for (const [base, ring] of [
    [RX, 0x2000],
    [TX, 0x1000],
  ] as const) {
    vf.write(base, ring);
    vf.write(base + 8, RING * 16);
    vf.write(base + 0x28, 1 << 25);
  }
  vf.write(RX + 0xc, 0x0200_0000);
  for (let n = 0; n < RING; n++)
    vf.view.setBigUint64(0x2000 + 16 * n, BigInt(0x8000 + n * 2048), true);
  vf.write(RX + 0x18, RING - 1);
  let tail = 0;
  const sendVf = (frame: Uint8Array): void => {
    vf.port.memory.set(frame, 0x4000);
    vf.view.setBigUint64(0x1000 + 16 * tail, 0x4000n, true);
    vf.view.setUint32(0x1008 + 16 * tail, 0x2b30_0000 | frame.length, true);
    vf.write(TX + 0x18, ++tail);
    pf.tick();
  };
  const sendPf = (frame: Uint8Array): void => {
    pf.queue(frame);
    pf.write(0xe058, (pf.read(0xe050) + 1) % RING);
    pf.tick();
  };
  const vfStatus = (n: number): number => vf.view.getUint32(0x2008 + 16 * n, true);
  return { pf, vf, sendVf, sendPf, vfStatus };
}
const TO_VF = [2, 0, 0, 0, 0, 0x77];
const EVERYBODY = [255, 255, 255, 255, 255, 255];

describe('frames', () => {
  test('STATUS says how many there are, to both', () => {
    const { pf, vf } = withFunctions(3);
    const status = (3 << 14) | (1 << 18);
    expect([pf.read(REG.status) & 0x7_c000, vf.read(VF.vtstatus) & 0x7_c000]).toEqual([
      status,
      status,
    ]);
  });
  test('with DTXSWC.31 they go from function to function, marked, and through the memory of each', () => {
    const { pf, vf, sendPf, sendVf, vfStatus } = pooled();
    pf.write(REG.dtxswc, 0x8000_0000);
    sendPf(plainFrame(100, TO_VF));
    expect(vfStatus(0)).toBe(3 | (1 << 18));
    expect(vf.port.memory.subarray(0x8000, 0x8064)).toEqual(plainFrame(100, TO_VF));
    sendVf(plainFrame(90));
    expect(pf.received().map(({ frame, status }) => [frame.length, status])).toEqual([
      [90, 3 | (1 << 18)],
    ]);
    expect([VF.vfgprc, VF.vfgptc, VF.vfgprlbc, VF.vfgorc].map(vf.read)).toEqual([1, 1, 1, 104]);
    sendPf(plainFrame(60, EVERYBODY));
    expect([vfStatus(1), pf.received()]).toEqual([3 | (1 << 18), []]);
  });
  test('a pool that may not receive, or not send, does not', () => {
    const { pf, vf, sendPf, sendVf, vfStatus } = pooled();
    pf.write(REG.dtxswc, 0x8000_0000);
    pf.write(REG.vfre, 0xfe);
    sendPf(plainFrame(100, TO_VF));
    pf.write(REG.vfte, 0xfe);
    sendVf(plainFrame(90));
    expect([vfStatus(0), pf.received(), vf.read(TX + 0x10)]).toEqual([0, [], 0]);
  });
  test('its vector follows its queue', () => {
    const { pf, vf, sendPf } = pooled();
    pf.write(REG.dtxswc, 0x8000_0000);
    vf.write(VF.vtivar, 0x81);
    vf.write(VF.vteims, 2);
    sendPf(plainFrame(100, TO_VF));
    expect([vf.port.messages, pf.port.messages]).toEqual([[1], []]);
  });
  test.for(['itself', 'outside'] as const)(
    'a reset by %s gives its queues and vectors back',
    (who) => {
      const { pf, vf } = pooled();
      vf.write(VF.vtivar, 0x81);
      vf.write(VF.vteims, 7);
      if (who === 'itself') vf.write(VF.vtctrl, 1 << 26);
      else vf.device.reset('flr');
      expect([RX, RX + 0x28, TX + 8, VF.vteims, VF.vtivar].map(vf.read)).toEqual([
        0, 0x1_0000, 0, 0, 0,
      ]);
      expect(vf.read(VF.v2pMailbox) & RSTD).toBe(RSTD);
      expect(pf.read(REG.vflre)).toBe(who === 'itself' ? 0 : 1);
      expect(pf.read(0xc040)).toBe(AT.rxRing);
    },
  );
});
