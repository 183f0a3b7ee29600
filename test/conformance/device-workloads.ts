/** What the shared suite drives devices with: a driver of a few lines for each type that moves something. */
import { ATS_REG } from '../../src/devices/ats-testdev/ats-testdev.ts';
import { CMD, dsa, FLAG, OP } from '../../src/devices/dsa/dsa.ts';
import { ECHO_REG } from '../../src/devices/dma-echo/dma-echo.ts';
import { EDU_BUFFER, EDU_BUFFER_SIZE, EDU_REG } from '../../src/devices/edu/edu.ts';
import { CTL, DMA_DESCRIPTOR, IOAT_REG, ioat } from '../../src/devices/ioat/ioat.ts';
import { PCI_TESTS } from '../../src/devices/pci-testdev/pci-testdev.ts';
import type { DeviceRig, DeviceWorkload } from '../../src/testing/index.ts';
import { configureDsa, dsaDescriptor, dsaDriver } from '../../src/testing/devices/dsa-rig.ts';
import { insistEqual } from '../../src/testing/base/insist.ts';
import { igbWork, virtioNetWork } from './network-workloads.ts';
import { nvmeWork, virtioBlkWork } from './storage-workloads.ts';
import { fill, insistCopied, store } from './workload-parts.ts';

const SRC = 0x4000;
const DST = 0x8000;

function eduTransfer(rig: DeviceRig, from: number, to: number, command: number): void {
  store(rig, EDU_REG.dmaSource, 8, from);
  store(rig, EDU_REG.dmaDestination, 8, to);
  store(rig, EDU_REG.dmaCount, 8, EDU_BUFFER_SIZE);
  store(rig, EDU_REG.dmaCommand, 4, command);
}
const edu: DeviceWorkload = {
  reach: [
    [SRC, SRC + EDU_BUFFER_SIZE],
    [DST, DST + EDU_BUFFER_SIZE],
  ],
  steps: [
    (rig) => {
      fill(rig, SRC, EDU_BUFFER_SIZE);
      eduTransfer(rig, SRC, EDU_BUFFER, 0x1);
    },
    (rig) => eduTransfer(rig, EDU_BUFFER, DST, 0x7),
  ],
  check(rig) {
    insistCopied(rig, SRC, DST, EDU_BUFFER_SIZE);
    insistEqual(rig.port.messages, [0], 'messages');
  },
};

/** A ring of 8 descriptors, which 20 copies go around. */
const RING = 0x1000;
const WORD = 0x2000;
const COPY = 0x800;
const ioatCopies = (rig: DeviceRig, count: number): void => store(rig, IOAT_REG.dmacount, 2, count);
const ioatWork: DeviceWorkload = {
  reach: [
    [RING, RING + 8 * 64],
    [WORD, WORD + 8],
    [SRC, SRC + 8 * COPY],
    [DST, DST + 8 * COPY],
  ],
  steps: [
    (rig) => {
      fill(rig, SRC, 8 * COPY);
      for (let n = 0; n < 8; n++) {
        const made = DMA_DESCRIPTOR.make({
          ...{ size: COPY, ctl: CTL.completionWrite | (n === 3 ? CTL.interrupt : 0) },
          ...{ src: BigInt(SRC + n * COPY), dst: BigInt(DST + n * COPY) },
          next: BigInt(RING + 64 * ((n + 1) % 8)),
        });
        rig.port.memory.set(made.bytes, RING + 64 * n);
      }
      store(rig, IOAT_REG.chainaddr, 8, RING);
      store(rig, IOAT_REG.chancmp, 8, WORD);
      store(rig, IOAT_REG.chanctrl, 2, 0x0c);
      ioatCopies(rig, 3);
    },
    (rig) => ioatCopies(rig, 8),
    (rig) => ioatCopies(rig, 20),
    (rig) => ioatCopies(rig, 820), //        more than is done at once
  ],
  check(rig) {
    insistCopied(rig, SRC, DST, 8 * COPY);
    const last = RING + 64 * ((820 - 1) % 8);
    const word = new DataView(rig.port.memory.buffer).getBigUint64(WORD, true);
    insistEqual(word, BigInt(last | 1), 'the completion word');
    insistEqual(rig.port.messages.length, 103, 'messages');
  },
};

const RECORD = 0x1000;
const LIST = 0x2000;
const BATCH = 80;
const LONG_SRC = 0x2_0000;
const LONG_DST = 0x4_0000;
const LONG = 0x1_0000;
/** A move alone, then a batch that is more than is done at once, a fill behind it, and moves and comparisons that are long. */
const dsaWork: DeviceWorkload = {
  memory: 0x6_0000,
  reach: [
    [RECORD, RECORD + 192],
    [LONG_SRC, LONG_SRC + LONG],
    [LONG_DST, LONG_DST + LONG],
    [LIST, LIST + 64 * BATCH],
    [SRC, SRC + 0x1000],
    [DST, DST + 0x3000],
  ],
  steps: [
    (rig) => {
      fill(rig, SRC, 0x1000);
      const driver = dsaDriver(rig);
      configureDsa(driver);
      driver.command(CMD.enableDevice);
      driver.command(CMD.enableWq, 0);
      driver.command(CMD.enableWq, 1);
    },
    (rig) => dsaDriver(rig).submit(dsaDescriptor({ src: SRC, dst: DST, record: RECORD })),
    (rig) => {
      const flags = FLAG.recordValid;
      for (let n = 0; n < BATCH; n++) {
        const [src, dst] = [SRC + 32 * n, DST + 0x1000 + 32 * n];
        const member = dsaDescriptor({ ...{ src, dst, flags, size: 32 }, record: LIST + 64 * n });
        rig.port.memory.set(member, LIST + 64 * n);
      }
      const record = { record: RECORD + 32, vector: 1 };
      const asks = FLAG.recordValid | FLAG.recordAlways | FLAG.interrupt;
      const batch = { op: OP.batch, src: LIST, size: BATCH, flags: asks };
      dsaDriver(rig).submit(dsaDescriptor({ ...batch, ...record }), 1);
      const fill = { op: OP.fill, src: 0x0101_0101_0101_0101n, dst: DST + 0x2000, size: 64 };
      dsaDriver(rig).submit(dsaDescriptor({ ...fill, record: RECORD + 64 }));
    },
    (rig) => {
      fill(rig, LONG_SRC, LONG);
      const wanted = { src: LONG_SRC, dst: LONG_DST, size: LONG };
      for (const [n, op] of [OP.move, OP.compare].entries()) {
        dsaDriver(rig).submit(dsaDescriptor({ ...wanted, op, record: RECORD + 96 + 32 * n }));
      }
    },
    (rig) => void dsaDriver(rig).command(CMD.drainAll),
  ],
  check(rig) {
    insistCopied(rig, SRC, DST, 0x1000);
    insistCopied(rig, SRC, DST + 0x1000, 32 * BATCH);
    const driver = dsaDriver(rig);
    insistCopied(rig, LONG_SRC, LONG_DST, LONG);
    const status = [0, 32, 64, 96, 128].map((at) => driver.record(RECORD + at).status);
    insistEqual(status, [1, 1, 1, 1, 1], 'completion records');
    insistEqual(rig.port.memory[DST + 0x203f], 1, 'the last byte of the fill');
    insistEqual(rig.port.messages, [1], 'messages');
  },
};

const atsWork: DeviceWorkload = {
  reach: [
    [SRC, SRC + 0x1000],
    [DST + 0x80, DST + 0x1080],
  ],
  steps: [
    (rig) => {
      fill(rig, SRC, 0x1000);
      store(rig, ATS_REG.address, 8, SRC);
      store(rig, ATS_REG.command, 4, 3);
    },
    (rig) => {
      store(rig, ATS_REG.address, 4, DST + 0x80);
      store(rig, ATS_REG.address + 4, 4, 0);
      store(rig, ATS_REG.command, 4, 1);
    },
  ],
  check: (rig) => insistCopied(rig, SRC, DST + 0x80, 0x1000),
};

/** The most that its register holds. */
const ECHOED = 0xffff;
const echoWork: DeviceWorkload = {
  memory: 0x6_0000,
  reach: [
    [LONG_SRC, LONG_SRC + ECHOED],
    [LONG_DST, LONG_DST + ECHOED],
  ],
  steps: [
    (rig) => {
      fill(rig, LONG_SRC, ECHOED);
      store(rig, ECHO_REG.from, 8, LONG_SRC);
      store(rig, ECHO_REG.to, 8, LONG_DST);
      store(rig, ECHO_REG.length, 4, ECHOED);
    },
  ],
  check(rig) {
    insistCopied(rig, LONG_SRC, LONG_DST, ECHOED);
    insistEqual(rig.port.messages, [0], 'messages');
  },
};

/** Two tests, in memory and in I/O space; the last is read when all is done. */
const TIMES = 5;
const pciTestWork: DeviceWorkload = {
  reach: [],
  steps: [0, 1].map((bar) => (rig: DeviceRig): void => {
    const { offset, data } = PCI_TESTS[3 * bar]!;
    rig.device.mmioWrite(bar, 0, 1, 0n);
    for (let n = 0; n < TIMES; n++) rig.device.mmioWrite(bar, offset, 1, BigInt(data));
    rig.device.mmioWrite(bar, offset, 1, BigInt(data + 1)); //    is not what is counted
  }),
  check({ device }) {
    const [number, , , count] = [0, 4, 8, 12].map((at) => Number(device.mmioRead(1, at, 4)));
    insistEqual([number! & 0xff, count], [3, TIMES], 'number and count');
  },
};

/** By type. */
export const WORKLOADS: Readonly<Record<string, DeviceWorkload>> = {
  'ats-testdev': atsWork,
  'dma-echo': echoWork,
  [dsa.type]: dsaWork,
  edu,
  igb: igbWork,
  [ioat.type]: ioatWork,
  nvme: nvmeWork,
  'pci-testdev': pciTestWork,
  'virtio-blk': virtioBlkWork,
  'virtio-net': virtioNetWork,
};
