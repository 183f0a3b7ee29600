/**
 * virtio-net: a network device with a plug for Ethernet frames (virtio 1.2, 5.1; devices.md 5.5), on split or packed rings.
 *
 * NOT IMPLEMENTED: checksum and segmentation offloads, receive hashing, VLAN filters, announcements, notification
 * coalescing; in-order use and notification data.
 */
import type { Wire, WireState } from '../host-services.ts';
import type { DeviceDma, DeviceOptions, DevicePort, DeviceType } from '../port.ts';
import { cutPieces, piecesLength, writeEach } from '../unit/each.ts';
import { LongTransfer, type LongState } from '../unit/long-transfer.ts';
import { MAC_OPTION, macOf, stationAddress, WIRE_OPTION } from '../unit/network-options.ts';
import { RegisterFile, type RegisterTable } from '../unit/registers.ts';
import type { Chain } from './chain.ts';
import { VirtioDevice, type VirtioHost, type VirtioKind } from './device.ts';
import {
  netFeatures,
  netRegisters,
  VIRTIO_NET_F_MQ,
  VIRTIO_NET_F_MRG_RXBUF,
  VIRTIO_NET_S_LINK_UP,
} from './net-config.ts';
import {
  commanded,
  powerOnMode,
  takes,
  VIRTIO_NET_ERR,
  VIRTIO_NET_OK,
  type NetMode,
} from './net-filter.ts';
import { ReceiveBuffers, virtio_net_hdr } from './net-receive.ts';
import { featureBits } from './numbers.ts';
import { VIRTIO_BAR, VIRTIO_REGISTERS, virtioIdentity } from './registers.ts';
import type { Virtqueue } from './virtqueue.ts';

/** Bytes of an Ethernet header, and of the longest frame a driver may send. */
const HEADER = 14;
const MOST_FRAME = 0x1_0000;
/** Bytes of the longest command. */
const MOST_COMMAND = 0x1_0000;
/** Chains of one visit. */
const BATCH = 64;

const OPTIONS = {
  mac: MAC_OPTION,
  wire: WIRE_OPTION,
  queue_pairs: {
    kind: 'integer',
    default: 1,
    min: 1,
    max: 64,
    help: 'receive and transmit queues',
  },
  queue_size: {
    kind: 'choice',
    values: [8, 16, 32, 64, 128, 256, 512, 1024],
    default: 256,
    help: 'descriptors of a queue',
  },
  mtu: { kind: 'integer', default: 1500, min: 68, max: 65_535, help: 'bytes of payload, as told' },
  packed: { kind: 'boolean', default: false, help: 'packed rings are offered as well' },
} as const;

export const virtioNet: DeviceType = {
  type: 'virtio-net',
  summary: 'virtio network device on modern PCI, split and packed rings (1af4:1041)',
  migratable: true,
  options: OPTIONS,
  registers: [
    {
      bar: VIRTIO_BAR,
      table: {
        ...VIRTIO_REGISTERS,
        ...netRegisters({ pairs: OPTIONS.queue_pairs.default, mtu: OPTIONS.mtu.default }),
      },
    },
  ],
  identity: (options) => virtioIdentity(1, 0x02_00_00, 2 * Number(options['queue_pairs']) + 1),
  needs: (options) => [{ kind: 'wire', name: String(options['wire']) }],
  create: (port, options) =>
    new VirtioDevice(
      port,
      { packed: options['packed'] === true },
      (host) => new VirtioNet(port, host, options),
    ),
};

/** What a network device is besides its queues. */
interface NetState {
  readonly alive: boolean;
  readonly mode: NetMode;
  readonly wire: WireState;
  /** Taken from the receive queues and not used yet, by pair. */
  readonly buffers: readonly (readonly Chain[])[];
  readonly reading: ReadingState | undefined;
}
/** Chains of a queue whose frames or commands are being read. */
interface Reading {
  readonly queue: Virtqueue;
  readonly chains: readonly Chain[];
  readonly transfer: LongTransfer;
}
/** The same as plain values. */
interface ReadingState {
  readonly queue: number;
  readonly chains: readonly Chain[];
  readonly transfer: LongState;
}

class VirtioNet implements VirtioKind {
  readonly features: bigint;
  readonly queueSizes: readonly number[];
  readonly config: RegisterFile<RegisterTable>;
  readonly #host: VirtioHost;
  readonly #dma: DeviceDma;
  readonly #wire: Wire;
  readonly #mac: Uint8Array;
  readonly #pairs: number;
  readonly #buffers: readonly ReceiveBuffers[];
  #mode: NetMode;
  #alive = false;
  #reading: Reading | undefined;

  constructor(port: DevicePort, host: VirtioHost, options: DeviceOptions) {
    this.#host = host;
    this.#dma = port.dma;
    this.#mac = stationAddress(String(options['mac']), port.config.name);
    this.#mode = powerOnMode(this.#mac);
    this.#pairs = Number(options['queue_pairs']);
    const queueSize = Number(options['queue_size']);
    this.queueSizes = Array.from({ length: 2 * this.#pairs + 1 }, () => queueSize);
    this.features = netFeatures(this.#pairs);
    this.config = new RegisterFile<RegisterTable>(
      netRegisters({ pairs: this.#pairs, mtu: Number(options['mtu']) }),
      {},
      { widths: 'bytes', absent: 'zeros' },
    );
    this.#buffers = Array.from({ length: this.#pairs }, () => new ReceiveBuffers(port.dma));
    this.#wire = port.host.wire(String(options['wire']));
    const { dma } = port;
    this.#wire.listen({
      get work() {
        return dma.work;
      },
      receive: (frames) => this.#received(frames),
      carrier: () => this.#linkChanged(),
    });
  }

  serve(queue: Virtqueue): boolean {
    const { index } = queue;
    const isControl = index === 2 * this.#inUse;
    // Buffers of a receive queue are taken when there is a frame.
    const isTransmit = index % 2 === 1 && index < 2 * this.#inUse;
    if (!isControl && !isTransmit) return false;
    const { chains, more } = queue.take(BATCH);
    const lists = chains.map(isControl ? commandPieces : framePieces);
    // What the ring reached may have been this device.
    if (!queue.enabled || chains.length === 0) return false;
    this.#reading = { queue, chains, transfer: LongTransfer.reading(this.#dma, lists) };
    return more;
  }
  goOn(work: number): boolean {
    const reading = this.#reading;
    if (!reading) return false;
    const { queue, chains, transfer } = reading;
    transfer.go(work);
    if (this.#reading !== reading || !transfer.isOver) return true;
    this.#reading = undefined;
    if (queue.index === 2 * this.#inUse) this.#commanded(queue, chains, transfer.read);
    else this.#transmitted(queue, chains, transfer.read);
    return true;
  }
  started(): void {
    this.#alive = true;
    this.#wire.power(true);
  }
  reset(): void {
    this.#alive = false;
    this.#reading = undefined;
    this.#wire.power(false);
    this.#wire.restore();
    for (const buffers of this.#buffers) buffers.chains = [];
    this.#setMode(powerOnMode(this.#mac));
    this.#showLink();
  }
  forget({ index }: Virtqueue): void {
    const buffers = index % 2 === 0 ? this.#buffers[index / 2] : undefined;
    if (buffers) buffers.chains = [];
    if (this.#reading?.queue.index === index) this.#reading = undefined;
  }
  state(): NetState {
    return {
      alive: this.#alive,
      mode: this.#mode,
      wire: this.#wire.state(),
      buffers: this.#buffers.map(({ chains }) => [...chains]),
      reading: this.#readingState,
    };
  }
  restore(state: NetState): void {
    this.#alive = state.alive;
    this.#wire.power(state.alive);
    this.#wire.restore(state.wire);
    this.#mode = state.mode;
    for (const [n, chains] of state.buffers.entries()) this.#buffers[n]!.chains = [...chains];
    const { reading } = state;
    this.#reading = reading && {
      queue: this.#host.queues[reading.queue]!,
      chains: reading.chains,
      transfer: LongTransfer.restored(this.#dma, reading.transfer),
    };
  }

  get #readingState(): ReadingState | undefined {
    if (!this.#reading) return undefined;
    const { queue, chains, transfer } = this.#reading;
    return { queue: queue.index, chains, transfer: transfer.state() };
  }

  #has(bit: number): boolean {
    return (this.#host.features & featureBits(bit)) !== 0n;
  }
  /** Pairs that have queues: the control queue comes after them. */
  get #inUse(): number {
    return this.#has(VIRTIO_NET_F_MQ) ? this.#pairs : 1;
  }

  #transmitted(
    queue: Virtqueue,
    chains: readonly Chain[],
    frames: readonly (Uint8Array | undefined)[],
  ): void {
    this.#wire.send(frames.flatMap((frame) => (frame && frame.length >= HEADER ? [frame] : [])));
    queue.use(chains.map((chain) => ({ chain, written: 0 })));
  }
  #received(frames: readonly Uint8Array[]): void {
    const taken = frames.filter((frame) => takes(this.#mode, frame));
    const merged = this.#has(VIRTIO_NET_F_MRG_RXBUF);
    for (let pair = 0; pair < this.#mode.pairs; pair++) {
      const queue = this.#host.queues[2 * pair]!;
      const own = taken.filter((frame) => flowOf(frame) % this.#mode.pairs === pair);
      if (own.length > 0 && this.#host.runs) this.#buffers[pair]!.receive(queue, own, merged);
    }
  }

  #commanded(
    queue: Virtqueue,
    chains: readonly Chain[],
    commands: readonly (Uint8Array | undefined)[],
  ): void {
    const acks = commands.map((bytes) => Uint8Array.of(this.#obey(bytes)));
    const places = chains.map(({ writable }) => cutPieces(writable, 0, 1));
    const told = writeEach(
      this.#dma,
      places.map((pieces, n) => ({ pieces, bytes: acks[n]!.subarray(0, piecesLength(pieces)) })),
    );
    queue.use(
      chains.map((chain, n) => ({ chain, written: told[n] ? piecesLength(places[n]!) : 0 })),
    );
  }
  #obey(bytes: Uint8Array | undefined): number {
    const mode = bytes && commanded(this.#mode, bytes, this.#inUse);
    if (!mode) return VIRTIO_NET_ERR;
    this.#setMode(mode);
    return VIRTIO_NET_OK;
  }
  #setMode(mode: NetMode): void {
    this.#mode = mode;
    for (const [n, byte] of macOf(mode.mac).entries()) this.config.set('mac', BigInt(byte), n);
  }

  #linkChanged(): void {
    this.#showLink();
    this.#host.configChanged();
  }
  #showLink(): void {
    this.config.set('status', this.#wire.carrier ? BigInt(VIRTIO_NET_S_LINK_UP) : 0n);
  }
}

/** What of a chain is the frame; nothing of one that is too long. */
function framePieces({ readable }: Chain): ReturnType<typeof cutPieces> {
  if (piecesLength(readable) > MOST_FRAME) return [];
  return cutPieces(readable, virtio_net_hdr.size, Infinity);
}

/** Nothing of a command that is too long. */
function commandPieces({ readable }: Chain): Chain['readable'] {
  return piecesLength(readable) > MOST_COMMAND ? [] : readable;
}

const IPV4 = 0x0800;
const IPV6 = 0x86dd;

/** The same number for all frames of a conversation: of its addresses and ports, or of both stations. */
function flowOf(frame: Uint8Array): number {
  const type = (frame[12]! << 8) | frame[13]!;
  const [start, end] = type === IPV4 ? [26, 38] : type === IPV6 ? [22, 58] : [0, 12];
  return frame.subarray(start, end).reduce((sum, byte) => (sum * 31 + byte) >>> 0, 0);
}
