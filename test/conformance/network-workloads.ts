/** Drivers of network controllers for the shared suite: frames come back to who sent them, around the rings. */
import { IGB_REGISTERS } from '../../src/devices/igb/registers.ts';
import { offsetsOf } from '../../src/devices/unit/registers.ts';
import type { DeviceRig, DeviceWorkload } from '../../src/testing/index.ts';
import { insistEqual } from '../../src/testing/base/insist.ts';
import {
  makeAvailable,
  notify,
  QUEUE_SIZE,
  queueReach,
  startVirtio,
  usedOf,
} from './virtio-blind.ts';
import {
  fill,
  insistCopied,
  numbers,
  roundsOf,
  store,
  sum,
  wordsOf,
  type Round,
} from './workload-parts.ts';

const ETHERTYPE = [0x88, 0xb5];
/** A frame for everybody. Its bytes differ from those of every other. */
function putFrame(rig: DeviceRig, at: number, length: number): void {
  fill(rig, at, length);
  rig.port.memory.fill(0xff, at, at + 6);
  rig.port.memory.set([2, 0, 0, 0, 0, 9, ...ETHERTYPE], at + 6);
}

/** 82576: one queue of each direction with 320 descriptors, MAC loopback, rounds of frames. */
const REG = offsetsOf(IGB_REGISTERS);
const [TX_RING, RX_RING, TX_DATA, RX_DATA] = [0x1000, 0x3000, 0x5000, 0x8000];
const RING = 320;
const BUFFER = 256;
const FRAMES = [11, 264, 264];
/** EN, UPE, MPE, MAC loopback, BAM, buffers of 256 bytes and SECRC. */
const LOOP = 0x0403_805a;
/** A whole frame, reported. */
const DATA = 0x2b30_0000;
/** So many frames differ. */
const KINDS = 8;
const frameLength = (n: number): number => 60 + 23 * (n % KINDS);
const sentAt = (n: number): number => TX_DATA + BUFFER * (n % KINDS);

function giveBuffer(rig: DeviceRig, n: number): void {
  wordsOf(rig).setBigUint64(RX_RING + 16 * n, BigInt(RX_DATA + BUFFER * n), true);
  wordsOf(rig).setBigUint64(RX_RING + 16 * n + 8, 0n, true);
}
function startIgb(rig: DeviceRig): void {
  for (const n of numbers(KINDS)) putFrame(rig, sentAt(n), frameLength(n));
  for (const n of numbers(RING)) giveBuffer(rig, n);
  for (const [at, value] of [
    [REG.gpie, 0x10],
    [REG.ivar, 0x8180],
    [REG.eiac, 3],
    [REG.eims, 3],
    [REG.tdbal, TX_RING],
    [REG.tdlen, 16 * RING],
    [REG.rdbal, RX_RING],
    [REG.rdlen, 16 * RING],
    [REG.srrctl, 0x0200_0000],
    [REG.rctl, LOOP],
    [REG.tctl, 0xa],
    [REG.rdt, RING - 1],
  ] as const) {
    store(rig, at, 4, value);
  }
}
/** What the round before received is given back first. */
function sendRound(rig: DeviceRig, { round, first, count }: Round): void {
  const words = wordsOf(rig);
  if (round > 0) {
    for (const n of numbers(FRAMES[round - 1]!)) giveBuffer(rig, (first - 1 - n) % RING);
    store(rig, REG.rdt, 4, (first - 1) % RING);
  }
  for (const n of numbers(count)) {
    const entry = TX_RING + 16 * ((first + n) % RING);
    words.setBigUint64(entry, BigInt(sentAt(n)), true);
    words.setUint32(entry + 8, DATA | frameLength(n), true);
    words.setUint32(entry + 12, frameLength(n) << 14, true);
  }
  store(rig, REG.tdt, 4, (first + count) % RING);
}
function insistReceived(rig: DeviceRig): void {
  const words = wordsOf(rig);
  const { first, count } = roundsOf(FRAMES).at(-1)!;
  for (const n of numbers(count)) {
    const slot = (first + n) % RING;
    const [sent, received] = [TX_RING + 16 * slot, RX_RING + 16 * slot];
    insistEqual(words.getUint32(sent + 12, true) & 1, 1, `descriptor ${slot} is sent`);
    insistEqual(words.getUint32(received + 8, true) & 3, 3, `descriptor ${slot} is received`);
    insistEqual(words.getUint16(received + 12, true), frameLength(n), `length of frame ${n}`);
    insistCopied(rig, sentAt(n), RX_DATA + BUFFER * slot, frameLength(n));
  }
}
export const igbWork: DeviceWorkload = {
  memory: 0x1_c000,
  reach: [
    [TX_RING, TX_RING + 16 * RING],
    [RX_RING, RX_RING + 16 * RING],
    [TX_DATA, TX_DATA + BUFFER * KINDS],
    [RX_DATA, RX_DATA + BUFFER * RING],
  ],
  steps: [startIgb, ...roundsOf(FRAMES).map((round) => (rig: DeviceRig) => sendRound(rig, round))],
  check(rig) {
    insistReceived(rig);
    const load = (at: number): number => Number(rig.device.mmioRead(0, at, 4));
    const end = sum(FRAMES) % RING;
    insistEqual([load(REG.tdh), load(REG.rdh)], [end, end], 'heads');
    insistEqual([...new Set(rig.port.messages)].toSorted(), [0, 1], 'vectors');
  },
};

/** virtio-net: one queue of each direction, a plug that returns frames, rounds of them. */
const [NET_RX, NET_TX] = [0x1000, 0x2000];
const [NET_SRC, NET_DST] = [0x4000, 0x8000];
const HEADER_BYTES = 12;
const ROOM = 256;
const NET_FRAMES = [7, 100, 100];
/** Where one is, and behind its header. */
const headerAt = (n: number): number => NET_SRC + ROOM * (n % KINDS);
const netFrameAt = (n: number): number => headerAt(n) + HEADER_BYTES;

function giveRoom(rig: DeviceRig, n: number): void {
  makeAvailable(rig, NET_RX, n, [{ at: NET_DST + ROOM * n, length: ROOM, forDevice: true }]);
}
function startNet(rig: DeviceRig): void {
  for (const n of numbers(KINDS)) putFrame(rig, netFrameAt(n), frameLength(n));
  startVirtio(rig, [NET_RX, NET_TX]);
  for (const n of numbers(QUEUE_SIZE)) giveRoom(rig, n);
  notify(rig, 0);
}
/** Header and frame are two buffers in the first round, and one in the others. */
function sendNet(rig: DeviceRig, { round, first, count }: Round): void {
  if (round > 0) {
    const before = NET_FRAMES[round - 1]!;
    for (const n of numbers(before)) giveRoom(rig, (first - before + n) % QUEUE_SIZE);
    notify(rig, 0);
  }
  for (const n of numbers(count)) {
    const length = frameLength(n);
    const header = { at: headerAt(n), length: HEADER_BYTES };
    if (round > 0) makeAvailable(rig, NET_TX, n, [{ ...header, length: HEADER_BYTES + length }]);
    else makeAvailable(rig, NET_TX, 2 * n, [header, { at: netFrameAt(n), length }]);
  }
  notify(rig, 1);
}
export const virtioNetWork: DeviceWorkload = {
  options: { wire: 'self' },
  reach: [
    queueReach(NET_RX),
    queueReach(NET_TX),
    [NET_SRC, NET_SRC + ROOM * KINDS],
    [NET_DST, NET_DST + ROOM * QUEUE_SIZE],
  ],
  steps: [
    startNet,
    ...roundsOf(NET_FRAMES).map((round) => (rig: DeviceRig) => sendNet(rig, round)),
  ],
  check(rig) {
    const { first, count } = roundsOf(NET_FRAMES).at(-1)!;
    const received = numbers(count).map((n) => {
      const slot = (first + n) % QUEUE_SIZE;
      insistCopied(rig, netFrameAt(n), NET_DST + ROOM * slot + HEADER_BYTES, frameLength(n));
      return [slot, HEADER_BYTES + frameLength(n)];
    });
    insistEqual(usedOf(rig, NET_RX, count), [first + count, received], 'received');
    const sent = numbers(count).map((n) => [n, 0]);
    insistEqual(usedOf(rig, NET_TX, count), [first + count, sent], 'sent');
    insistEqual([...new Set(rig.port.messages)].toSorted(), [1, 2], 'vectors');
  },
};
