/** Drivers of disks for the shared suite: what is written comes back, in more commands than their rings have places. */
import { NVME_REG } from '../../src/devices/nvme/registers.ts';
import type { DeviceRig, DeviceWorkload } from '../../src/testing/index.ts';
import { insistEqual } from '../../src/testing/base/insist.ts';
import { makeAvailable, notify, queueReach, startVirtio, usedOf } from './virtio-blind.ts';
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

const BLOCK = 512;

/** NVMe: admin queues, one pair of I/O queues of 128 entries, and rounds of commands. */
const [ASQ, ACQ, SQ, CQ] = [0x1000, 0x2000, 0x3000, 0x5000];
const [LIST, IDENTIFIED] = [0x6000, 0x7000];
const [NVME_SRC, NVME_DST] = [0x8200, 0x1_0200];
const ENTRIES = 128;
const COMMANDS = [6, 6, 100, 100];
/** The last command of a round moves these blocks, which begin within a page and end in the fourth. */
const BLOCKS = 26;
const SMALL = 11;
const DATA = (SMALL + BLOCKS) * BLOCK;

interface Command {
  readonly opcode: number;
  readonly nsid?: number;
  readonly prp1?: number;
  readonly prp2?: number;
  readonly dwords?: readonly number[];
}
function putCommand(rig: DeviceRig, at: number, id: number, command: Command): void {
  const words = wordsOf(rig);
  rig.port.memory.fill(0, at, at + 64);
  words.setUint8(at, command.opcode);
  words.setUint16(at + 2, id, true);
  words.setUint32(at + 4, command.nsid ?? 0, true);
  words.setBigUint64(at + 24, BigInt(command.prp1 ?? 0), true);
  words.setBigUint64(at + 32, BigInt(command.prp2 ?? 0), true);
  for (const [n, dword] of (command.dwords ?? []).entries()) {
    words.setUint32(at + 40 + 4 * n, dword, true);
  }
}
const doorbell = (rig: DeviceRig, first: number, queue: number, value: number): void =>
  store(rig, first + 8 * queue, 4, value);

function enableNvme(rig: DeviceRig): void {
  fill(rig, NVME_SRC, DATA);
  store(rig, NVME_REG.cc, 4, 0);
  store(rig, NVME_REG.aqa, 4, 0x0007_0007);
  store(rig, NVME_REG.asq, 8, ASQ);
  store(rig, NVME_REG.acq, 8, ACQ);
  store(rig, NVME_REG.cc, 4, 0x0046_0001);
}
function makeQueues(rig: DeviceRig): void {
  const sized = ((ENTRIES - 1) << 16) | 1;
  putCommand(rig, ASQ, 1, { opcode: 6, prp1: IDENTIFIED, dwords: [1] });
  putCommand(rig, ASQ + 64, 2, { opcode: 5, prp1: CQ, dwords: [sized, 0x1_0003] });
  putCommand(rig, ASQ + 128, 3, { opcode: 1, prp1: SQ, dwords: [sized, 0x1_0001] });
  doorbell(rig, NVME_REG.sqTail, 0, 3);
}
/** Single blocks, and many with a list of pages; writes and reads take turns. */
function transfers(rig: DeviceRig, { round, first, count }: Round): void {
  const opcode = round % 2 === 0 ? 1 : 2;
  const data = opcode === 1 ? NVME_SRC : NVME_DST;
  const lba = 1000 * (round >> 1);
  const place = (n: number): number => SQ + 64 * ((first + n) % ENTRIES);
  doorbell(rig, NVME_REG.cqHead, round === 0 ? 0 : 1, round === 0 ? 3 : first % ENTRIES);
  for (const n of numbers(count - 1)) {
    const block = n % SMALL;
    const prp1 = data + block * BLOCK;
    putCommand(rig, place(n), n, { opcode, nsid: 1, prp1, dwords: [lba + block] });
  }
  const prp1 = data + SMALL * BLOCK;
  for (const n of numbers(4)) {
    wordsOf(rig).setBigUint64(LIST + 8 * n, BigInt((prp1 & ~0xfff) + 0x1000 * (n + 1)), true);
  }
  const dwords = [lba + SMALL, 0, BLOCKS - 1];
  putCommand(rig, place(count - 1), count - 1, { opcode, nsid: 1, prp1, prp2: LIST, dwords });
  doorbell(rig, NVME_REG.sqTail, 1, (first + count) % ENTRIES);
}
/** Of I/O queue 1, in the order of the ring: phase, and status. */
function insistCompleted(rig: DeviceRig): void {
  const words = wordsOf(rig);
  const all = sum(COMMANDS);
  const fields = numbers(ENTRIES).map((n) => words.getUint16(CQ + 16 * n + 14, true));
  const laps = (n: number): number => Math.ceil((all - n) / ENTRIES);
  const expected = numbers(ENTRIES).map((n) => laps(n) & 1);
  insistEqual(fields, expected, 'status and phases');
  const last = CQ + 16 * ((all - 1) % ENTRIES);
  insistEqual(words.getUint16(last + 8, true), all % ENTRIES, 'the head of the submission queue');
  insistEqual(words.getUint16(last + 12, true), COMMANDS.at(-1)! - 1, 'the last command');
}
export const nvmeWork: DeviceWorkload = {
  options: { size_mib: 2 },
  outlives: { stored: 'what is on a disk stays there' },
  memory: 0x1_8000,
  reach: [
    [ASQ, ASQ + 64 * 8],
    [ACQ, ACQ + 16 * 8],
    [SQ, SQ + 64 * ENTRIES],
    [CQ, CQ + 16 * ENTRIES],
    [LIST, LIST + 8 * 4],
    [IDENTIFIED, IDENTIFIED + 0x1000],
    [NVME_SRC, NVME_SRC + DATA],
    [NVME_DST, NVME_DST + DATA],
  ],
  steps: [
    enableNvme,
    makeQueues,
    ...roundsOf(COMMANDS).map((round) => (rig: DeviceRig) => transfers(rig, round)),
  ],
  check(rig) {
    insistCopied(rig, NVME_SRC, NVME_DST, DATA);
    insistEqual(wordsOf(rig).getUint8(IDENTIFIED + 512), 0x66, 'sizes of entries');
    insistCompleted(rig);
    insistEqual([...new Set(rig.port.messages)], [0, 1], 'vectors');
  },
};

/** virtio-blk: one queue, rounds of requests of three descriptors each. */
const [QUEUE, HEADERS, STATUS] = [0x1000, 0x2000, 0x3000];
const [BLK_SRC, BLK_DST] = [0x4000, 0x8000];
const REQUESTS = [4, 4, 40, 40, 40, 40];
const MOST = Math.max(...REQUESTS);
/** Requests have the data of one of these. */
const PLACES = 4;
const REQUEST_DATA = 3 * BLOCK;
function requests(rig: DeviceRig, { round, count }: Round): void {
  const type = round % 2 === 0 ? 1 : 0;
  const words = wordsOf(rig);
  for (const n of numbers(count)) {
    const place = n % PLACES;
    const header = HEADERS + 16 * n;
    words.setUint32(header, type, true);
    words.setBigUint64(header + 8, BigInt(3 * place + 100 * (round >> 1)), true);
    rig.port.memory[STATUS + n] = 0xee;
    const at = (type === 1 ? BLK_SRC : BLK_DST) + place * REQUEST_DATA;
    makeAvailable(rig, QUEUE, 3 * n, [
      { at: header, length: 16 },
      { at, length: REQUEST_DATA, forDevice: type === 0 },
      { at: STATUS + n, length: 1, forDevice: true },
    ]);
  }
  notify(rig, 0);
}
export const virtioBlkWork: DeviceWorkload = {
  options: { size_mib: 1 },
  outlives: { disk: 'what is on a disk stays there' },
  reach: [
    queueReach(QUEUE),
    [HEADERS, HEADERS + 16 * MOST],
    [STATUS, STATUS + MOST],
    [BLK_SRC, BLK_SRC + PLACES * REQUEST_DATA],
    [BLK_DST, BLK_DST + PLACES * REQUEST_DATA],
  ],
  steps: [
    (rig) => {
      fill(rig, BLK_SRC, PLACES * REQUEST_DATA);
      startVirtio(rig, [QUEUE]);
    },
    ...roundsOf(REQUESTS).map((round) => (rig: DeviceRig) => requests(rig, round)),
  ],
  check(rig) {
    insistCopied(rig, BLK_SRC, BLK_DST, PLACES * REQUEST_DATA);
    const last = numbers(MOST).map((n) => [3 * n, REQUEST_DATA + 1]);
    insistEqual(usedOf(rig, QUEUE, MOST), [sum(REQUESTS), last], 'used');
    const status = rig.port.memory.slice(STATUS, STATUS + MOST);
    insistEqual(status, new Uint8Array(MOST), 'status');
    insistEqual([...new Set(rig.port.messages)], [1], 'vectors');
  },
};
