/**
 * virtio-blk: a disk (virtio 1.2, 5.2; devices.md 5.6), on split or packed rings.
 *
 * NOT IMPLEMENTED: secure erase, lifetime and zoned storage; geometry and topology; in-order use and
 * notification data.
 */
import type { BlockBacking } from '../host-services.ts';
import type { DeviceDma, DeviceOptions, DevicePort, DeviceType } from '../port.ts';
import { Delay } from '../unit/delay.ts';
import { cutPieces, piecesLength, writeEach, type PlacedBytes } from '../unit/each.ts';
import { MemoryDisk } from '../unit/memory-disk.ts';
import { RegisterFile, type RegisterTable } from '../unit/registers.ts';
import {
  blkFeatures,
  blkRegisters,
  SECTOR,
  VIRTIO_BLK_F_CONFIG_WCE,
  VIRTIO_BLK_F_FLUSH,
  type BlkFacts,
} from './blk-config.ts';
import {
  perform,
  requestsOf,
  VIRTIO_BLK_S_IOERR,
  VIRTIO_BLK_S_OK,
  type BlkAnswer,
  type BlkRequest,
  type Disk,
} from './blk-requests.ts';
import type { Chain, UsedChain } from './chain.ts';
import { VirtioDevice, type VirtioHost, type VirtioKind } from './device.ts';
import { featureBits } from './numbers.ts';
import { VIRTIO_BAR, VIRTIO_REGISTERS, virtioIdentity } from './registers.ts';
import type { Virtqueue } from './virtqueue.ts';

/** Chains taken at once, and requests under way, before more are taken. */
const BATCH = 32;
const MOST_GOING = 256;
const MIB = 1n << 20n;

const OPTIONS = {
  drive: {
    kind: 'text',
    default: '',
    help: 'name of the block it is on; none: memory of its own',
  },
  size_mib: {
    kind: 'integer',
    default: 64,
    min: 1,
    max: 0x10_0000,
    help: 'MiB of a disk in memory; costs what is written',
  },
  block_size: { kind: 'choice', values: [512, 4096], default: 512, help: 'bytes of a block' },
  read_only: { kind: 'boolean', default: false, help: 'writes are refused' },
  serial: { kind: 'text', default: 'softiommu', help: 'the first 20 bytes are told' },
  queues: { kind: 'integer', default: 4, min: 1, max: 64, help: 'request queues' },
  queue_size: {
    kind: 'choice',
    values: [8, 16, 32, 64, 128, 256, 512, 1024],
    default: 256,
    help: 'descriptors of a queue',
  },
  packed: { kind: 'boolean', default: false, help: 'packed rings are offered as well' },
} as const;

export const virtioBlk: DeviceType = {
  type: 'virtio-blk',
  summary: 'virtio disk on modern PCI, split and packed rings, MSI-X or INTx (1af4:1042)',
  migratable: true,
  options: OPTIONS,
  registers: [
    {
      bar: VIRTIO_BAR,
      table: {
        ...VIRTIO_REGISTERS,
        ...blkRegisters({
          sectors: (64n * MIB) / BigInt(SECTOR),
          blockSize: OPTIONS.block_size.default,
          queues: OPTIONS.queues.default,
          queueSize: OPTIONS.queue_size.default,
          isReadOnly: false,
        }),
      },
    },
  ],
  identity: (options) => virtioIdentity(2, 0x01_00_00, Number(options['queues'])),
  needs: (options) =>
    options['drive'] === '' ? [] : [{ kind: 'block', name: String(options['drive']) }],
  create: (port, options) =>
    new VirtioDevice(
      port,
      { packed: options['packed'] === true },
      (host) => new VirtioBlk(port, host, options),
    ),
};

/** What is under way, and what is in memory. */
interface BlkState {
  readonly going: readonly BlkRequest[];
  readonly finished: readonly BlkAnswer[];
  readonly answerNs: number | undefined;
  readonly stalled: readonly number[];
  /** Of a disk that is a part of the machine. */
  readonly disk: object | undefined;
}

class VirtioBlk implements VirtioKind {
  readonly features: bigint;
  readonly queueSizes: readonly number[];
  readonly config: RegisterFile<RegisterTable>;
  readonly #host: VirtioHost;
  readonly #dma: DeviceDma;
  readonly #backing: BlockBacking;
  readonly #facts: BlkFacts;
  readonly #id: string;
  /** Requests at the disk: what is not among them was overtaken by a reset. */
  readonly #going = new Set<BlkRequest>();
  #finished: BlkAnswer[] = [];
  readonly #answering: Delay;
  /** Queues that wait until less is under way. */
  readonly #stalled = new Set<number>();
  #serving = false;

  constructor(port: DevicePort, host: VirtioHost, options: DeviceOptions) {
    this.#host = host;
    this.#dma = port.dma;
    const name = String(options['drive']);
    const size = BigInt(Number(options['size_mib'])) * MIB;
    this.#backing = name === '' ? new MemoryDisk(size) : port.host.block(name);
    this.#facts = {
      sectors: this.#backing.length / BigInt(SECTOR),
      blockSize: Number(options['block_size']),
      queues: Number(options['queues']),
      queueSize: Number(options['queue_size']),
      isReadOnly: options['read_only'] === true || this.#backing.isReadOnly,
    };
    this.#id = String(options['serial']);
    this.features = blkFeatures(this.#facts);
    this.queueSizes = Array.from({ length: this.#facts.queues }, () => this.#facts.queueSize);
    this.config = new RegisterFile<RegisterTable>(
      blkRegisters(this.#facts),
      {},
      { widths: 'bytes', absent: 'zeros' },
    );
    this.#answering = new Delay(port.clock, () => this.#answerAndResume());
  }

  serve(queue: Virtqueue): boolean {
    let more = true;
    this.#serving = true;
    for (let taken = 0; more && taken < queue.size && this.#going.size < MOST_GOING;) {
      const found = queue.take(BATCH);
      taken += found.chains.length;
      more = found.more;
      this.#begin(queue, found.chains);
    }
    this.#serving = false;
    this.#answerAll();
    if (!more || this.#going.size < MOST_GOING) return more;
    this.#stalled.add(queue.index);
    return false;
  }
  reset(): void {
    this.#going.clear();
    this.#finished = [];
    this.#stalled.clear();
    this.#answering.cancel();
  }
  forget({ index }: Virtqueue): void {
    for (const request of this.#going) if (request.queue === index) this.#going.delete(request);
    this.#finished = this.#finished.filter(({ request }) => request.queue !== index);
    this.#stalled.delete(index);
    // Others may have waited for it.
    this.#answering.restart(0);
  }
  state(): BlkState {
    return {
      going: [...this.#going],
      finished: [...this.#finished],
      answerNs: this.#answering.leftNs,
      stalled: [...this.#stalled],
      disk: this.#backing.state?.(),
    };
  }
  restore(state: BlkState): void {
    this.#going.clear();
    this.#finished = [...state.finished];
    this.#answering.restart(state.answerNs);
    this.#stalled.clear();
    for (const index of state.stalled) this.#stalled.add(index);
    if (state.disk) this.#backing.restore?.(state.disk);
    for (const request of state.going) this.#start(request);
  }

  get #disk(): Disk {
    const has = (bit: number): boolean => (this.#host.features & featureBits(bit)) !== 0n;
    const writesBack = has(VIRTIO_BLK_F_CONFIG_WCE)
      ? this.config.get('wce') !== 0n
      : has(VIRTIO_BLK_F_FLUSH);
    const { sectors, isReadOnly } = this.#facts;
    return {
      backing: this.#backing,
      isReadOnly,
      sectors,
      id: this.#id,
      writesThrough: !writesBack,
    };
  }
  #begin(queue: Virtqueue, chains: readonly Chain[]): void {
    for (const [n, request] of requestsOf(this.#dma, queue.index, chains).entries()) {
      if (request) this.#start(request);
      else this.#end(withoutHeader(queue.index, chains[n]!));
    }
  }
  #start(request: BlkRequest): void {
    this.#going.add(request);
    perform(this.#disk, request, (answer) => {
      if (this.#going.delete(request)) this.#end(answer);
    });
  }
  /** Answers of one walk, or of one tick, are given together. */
  #end(answer: BlkAnswer): void {
    this.#finished.push(answer);
    if (!this.#serving && this.#answering.leftNs === undefined) this.#answering.restart(0);
  }
  #answerAll(): void {
    const answers = this.#finished;
    this.#finished = [];
    this.#answering.cancel();
    const used = usedChains(this.#dma, answers);
    for (const queue of this.#host.queues) {
      queue.use(used.filter((_, n) => answers[n]!.request.queue === queue.index));
    }
  }
  #answerAndResume(): void {
    this.#answerAll();
    const indexes = [...this.#stalled];
    this.#stalled.clear();
    for (const index of indexes) this.#host.kick(this.#host.queues[index]!);
  }
}

/** A chain that says nothing. */
function withoutHeader(queue: number, chain: Chain): BlkAnswer {
  const request = { queue, chain, type: 0, sector: 0n, data: undefined, room: 0 };
  return { request, status: VIRTIO_BLK_S_IOERR, data: new Uint8Array(0) };
}

/** Write what is answered: first data, then the status, in one transfer as long as nothing is refused. */
function usedChains(dma: DeviceDma, answers: readonly BlkAnswer[]): readonly UsedChain[] {
  const written = writeEach(dma, answers.map(placed));
  const failed = answers.filter(({ data }, n) => !written[n] && data.length > 0);
  const told = writeEach(dma, failed.map(failedRead).map(placed));
  return answers.map((answer, n) => {
    const { chain } = answer.request;
    const bytes = piecesLength(placed(answer).pieces);
    if (written[n]) return { chain, written: bytes };
    return { chain, written: told[failed.indexOf(answer)] ? 1 : 0 };
  });
}
function failedRead({ request }: BlkAnswer): BlkAnswer {
  return { request, status: VIRTIO_BLK_S_IOERR, data: new Uint8Array(0) };
}
/** The status is the last byte that the driver has room for; without any there is none. */
function placed({ request, status, data }: BlkAnswer): PlacedBytes {
  const { writable } = request.chain;
  const room = piecesLength(writable);
  if (room === 0) return { pieces: [], bytes: new Uint8Array(0) };
  const isRead = status === VIRTIO_BLK_S_OK && data.length > 0;
  if (!isRead) return { pieces: cutPieces(writable, room - 1, 1), bytes: Uint8Array.of(status) };
  const bytes = new Uint8Array(data.length + 1);
  bytes.set(data);
  bytes[data.length] = status;
  return { pieces: writable, bytes };
}
