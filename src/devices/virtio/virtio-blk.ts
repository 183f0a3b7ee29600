/**
 * virtio-blk: a disk (virtio 1.2, 5.2; devices.md 5.6), on split or packed rings.
 *
 * NOT IMPLEMENTED: secure erase, lifetime and zoned storage; geometry and topology; in-order use and
 * notification data.
 */
import type { BlockBacking } from '../host-services.ts';
import type { DeviceDma, DeviceOptions, DevicePort, DeviceType } from '../port.ts';
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
  askedOf,
  perform,
  VIRTIO_BLK_S_IOERR,
  type BlkAnswer,
  type BlkRequest,
  type Disk,
} from './blk-requests.ts';
import { BlkWork, type BlkWorkState } from './blk-work.ts';
import type { Chain } from './chain.ts';
import { VirtioDevice, type VirtioHost, type VirtioKind } from './device.ts';
import { featureBits } from './numbers.ts';
import { VIRTIO_BAR, VIRTIO_REGISTERS, virtioIdentity } from './registers.ts';
import type { Virtqueue } from './virtqueue.ts';

/** Chains taken at once. */
const BATCH = 32;
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
  readonly work: BlkWorkState;
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
  readonly #work: BlkWork;
  /** Queues that wait until less is under way. */
  readonly #stalled = new Set<number>();

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
    this.#work = new BlkWork({
      dma: port.dma,
      perform: (request) => this.#perform(request),
      use: (queue, list) => host.queues[queue]!.use(list),
    });
  }

  serve(queue: Virtqueue): boolean {
    if (this.#work.isFull) {
      this.#stalled.add(queue.index);
      return false;
    }
    const { chains, more } = queue.take(BATCH);
    const asked = askedOf(this.#dma, queue.index, chains);
    // What they reached may have been this device.
    if (!queue.enabled) return false;
    this.#work.ask(asked.filter((one) => one !== undefined));
    for (const [n, one] of asked.entries()) {
      if (!one) this.#work.answer(withoutHeader(queue.index, chains[n]!));
    }
    return more;
  }
  goOn(work: number, isIdle: boolean): boolean {
    if (this.#stalled.size > 0 && !this.#work.isFull) this.#resume();
    else return this.#work.goOn(work, isIdle);
    return true;
  }
  reset(): void {
    this.#work.clear();
    this.#stalled.clear();
  }
  forget({ index }: Virtqueue): void {
    this.#work.forget(index);
    this.#stalled.delete(index);
    // Others may have waited for it.
    this.#host.wake();
  }
  state(): BlkState {
    const disk = this.#backing.state?.();
    return { work: this.#work.state(), stalled: [...this.#stalled], disk };
  }
  restore(state: BlkState): void {
    this.#stalled.clear();
    for (const index of state.stalled) this.#stalled.add(index);
    if (state.disk) this.#backing.restore?.(state.disk);
    this.#work.restore(state.work);
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
  /** Answers of one tick are given together. */
  #perform(request: BlkRequest): void {
    perform(this.#disk, request, (answer) => {
      if (this.#work.end(answer)) this.#host.wake();
    });
  }
  #resume(): void {
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
