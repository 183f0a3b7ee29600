/**
 * A virtio device on PCI: negotiation, queues, interrupts and resets, the same for every kind (virtio 1.2, 2.1 to 2.4,
 * 3.1 and 4.1; devices.md 5.1 to 5.3). The kind says what its buffers mean.
 *
 * All transfers go through the IOMMU whatever was negotiated: a driver that leaves VIRTIO_F_ACCESS_PLATFORM out is served
 * like any other.
 */
import type { DeviceModel, DevicePort, DeviceState } from '../port.ts';
import { Pump } from '../unit/pump.ts';
import { RegisterFile, type RegisterState, type RegisterTable } from '../unit/registers.ts';
import { TURN_WORK } from '../unit/turn-budget.ts';
import {
  featureBits,
  VIRTIO_CONFIG_S_DRIVER_OK,
  VIRTIO_CONFIG_S_FEATURES_OK,
  VIRTIO_CONFIG_S_NEEDS_RESET,
  VIRTIO_F_ACCESS_PLATFORM,
  VIRTIO_F_ORDER_PLATFORM,
  VIRTIO_F_RING_PACKED,
  VIRTIO_F_RING_RESET,
  VIRTIO_F_VERSION_1,
  VIRTIO_ISR_CONFIG,
  VIRTIO_ISR_QUEUE,
  VIRTIO_MSI_NO_VECTOR,
  VIRTIO_RING_F_EVENT_IDX,
  VIRTIO_RING_F_INDIRECT_DESC,
} from './numbers.ts';
import { DEVICE_CONFIG, VIRTIO_BAR, VIRTIO_REGISTERS } from './registers.ts';
import { Virtqueue, type QueueOwner, type VirtqueueState } from './virtqueue.ts';

/** What all kinds offer. */
const TRANSPORT_FEATURES = featureBits(
  VIRTIO_RING_F_INDIRECT_DESC,
  VIRTIO_RING_F_EVENT_IDX,
  VIRTIO_F_VERSION_1,
  VIRTIO_F_ACCESS_PLATFORM,
  VIRTIO_F_ORDER_PLATFORM,
  VIRTIO_F_RING_RESET,
);

/** What registers show of a queue that is not there. */
const NO_QUEUE = {
  index: 0,
  size: 0,
  vector: VIRTIO_MSI_NO_VECTOR,
  enabled: false,
  desc: 0n,
  driver: 0n,
  device: 0n,
};

/** What distinguishes one kind of device from another. */
export interface VirtioKind {
  /** Feature bits of its own. */
  readonly features: bigint;
  /** Largest sizes of its queues. */
  readonly queueSizes: readonly number[];
  /** Registers of its configuration; offsets are those of the BAR. */
  readonly config: RegisterFile<RegisterTable>;
  /** Buffers may be available in this queue: take a bounded number. True: come again. */
  serve(queue: Virtqueue): boolean;
  /** Do a part of what is under way, of so much work. `isIdle`: no queue waits. False: nothing was done. */
  goOn(work: number, isIdle: boolean): boolean;
  /** Power-on, after its registers were reset: nothing is under way. */
  reset(): void;
  /** Forget what is under way of this queue. */
  forget(queue: Virtqueue): void;
  /** A driver is there. */
  started?(): void;
  state(): DeviceState;
  restore(state: DeviceState): void;
}

/** What a kind can ask of its device. */
export interface VirtioHost {
  readonly queues: readonly Virtqueue[];
  /** Feature bits that were accepted. */
  readonly features: bigint;
  /** A driver is at work, and the device may start transfers. */
  readonly runs: boolean;
  /** There may be something to do for this queue, now. */
  kick(queue: Virtqueue): void;
  /** There may be something to go on with, in a turn of its own. */
  wake(): void;
  /** Its configuration has changed. */
  configChanged(): void;
}

/** What a device is at one moment. */
interface VirtioState {
  readonly registers: RegisterState;
  readonly config: RegisterState;
  readonly features: bigint;
  readonly queues: readonly VirtqueueState[];
  /** Queues to come to again. */
  readonly waiting: readonly number[];
  readonly againNs: number | undefined;
  readonly kind: DeviceState;
}

/** One virtio device. */
export class VirtioDevice implements DeviceModel, QueueOwner, VirtioHost {
  readonly dma: DevicePort['dma'];
  readonly queues: readonly Virtqueue[];
  features = 0n;
  readonly #port: DevicePort;
  readonly #kind: VirtioKind;
  readonly #offered: bigint;
  readonly #vectors: number;
  readonly #registers: RegisterFile<typeof VIRTIO_REGISTERS>;
  readonly #waiting = new Set<number>();
  /** Whatever rings, and a transfer of the device may, nothing is served inside of a step. */
  readonly #pump: Pump;

  constructor(
    port: DevicePort,
    options: { readonly packed: boolean },
    makeKind: (host: VirtioHost) => VirtioKind,
  ) {
    this.#port = port;
    this.dma = port.dma;
    this.#kind = makeKind(this);
    const packed = options.packed ? featureBits(VIRTIO_F_RING_PACKED) : 0n;
    this.#offered = this.#kind.features | TRANSPORT_FEATURES | packed;
    this.queues = this.#kind.queueSizes.map((size, n) => new Virtqueue(this, n, size));
    this.#vectors = this.queues.length + 1;
    this.#registers = this.#makeRegisters();
    this.#pump = new Pump(port.clock, (work) => this.#step(work), {
      dma: port.dma,
      budget: TURN_WORK,
    });
    port.config.watch('busMaster', (on) => on && this.#serveAll());
  }

  powerOn(): void {
    this.#resetAll();
  }
  reset(): void {
    this.#resetAll();
  }
  mmioRead(bar: number, offset: number, width: number): bigint {
    return bar === VIRTIO_BAR ? this.#file(offset).load(offset, width) : 0n;
  }
  mmioWrite(bar: number, offset: number, width: number, value: bigint): void {
    if (bar === VIRTIO_BAR) this.#file(offset).store(offset, width, value);
  }
  registerName(bar: number, offset: number): string | undefined {
    return bar === VIRTIO_BAR ? this.#file(offset).nameAt(offset) : undefined;
  }
  state(): VirtioState {
    return {
      registers: this.#registers.state(),
      config: this.#kind.config.state(),
      features: this.features,
      queues: this.queues.map((queue) => queue.state()),
      waiting: [...this.#waiting],
      againNs: this.#pump.leftNs,
      kind: this.#kind.state(),
    };
  }
  restore(state: VirtioState): void {
    this.#registers.restore(state.registers);
    this.#kind.config.restore(state.config);
    this.features = state.features;
    for (const [n, queue] of state.queues.entries()) this.queues[n]?.restore(queue);
    this.#waiting.clear();
    for (const index of state.waiting) this.#waiting.add(index);
    // Of one turn, what a queue set going comes before the rest of the queue.
    this.#kind.restore(state.kind);
    this.#pump.restore(state.againNs);
    this.#port.irq.intx(this.#registers.get('isr') !== 0n);
  }

  used(queue: Virtqueue): void {
    this.#interrupt(queue.vector, VIRTIO_ISR_QUEUE);
  }
  failed(): void {
    const status = this.#status | VIRTIO_CONFIG_S_NEEDS_RESET;
    this.#registers.set('deviceStatus', BigInt(status));
    this.#interruptConfig();
  }
  configChanged(): void {
    this.#registers.set('configGeneration', this.#registers.get('configGeneration') + 1n);
    this.#interruptConfig();
  }
  get runs(): boolean {
    const both = VIRTIO_CONFIG_S_FEATURES_OK | VIRTIO_CONFIG_S_DRIVER_OK;
    return (this.#status & both) === both && this.#port.config.is('busMaster');
  }
  kick(queue: Virtqueue): void {
    if (!this.runs || !queue.works) return;
    this.#waiting.add(queue.index);
    this.#pump.run();
  }
  wake(): void {
    this.#pump.runLater();
  }

  get #status(): number {
    return Number(this.#registers.get('deviceStatus'));
  }
  /** What is under way before what is not. */
  #step(work: number): number | undefined {
    if (this.#kind.goOn(work, this.#waiting.size === 0)) return 0;
    const [index] = this.#waiting;
    if (index === undefined) return undefined;
    this.#waiting.delete(index);
    const queue = this.queues[index]!;
    if (this.runs && queue.works && this.#kind.serve(queue)) this.#waiting.add(index);
    return 0;
  }
  #serveAll(): void {
    for (const queue of this.queues) this.kick(queue);
  }

  #interrupt(vector: number, cause: number): void {
    const { irq } = this.#port;
    if (irq.messagesEnabled) {
      if (vector !== VIRTIO_MSI_NO_VECTOR) irq.message(vector);
      return;
    }
    this.#registers.set('isr', this.#registers.get('isr') | BigInt(cause));
    irq.intx(true);
  }
  #interruptConfig(): void {
    if ((this.#status & VIRTIO_CONFIG_S_DRIVER_OK) === 0) return;
    this.#interrupt(Number(this.#registers.get('configMsixVector')), VIRTIO_ISR_CONFIG);
  }

  #resetAll(): void {
    this.#pump.cancel();
    this.#waiting.clear();
    this.features = 0n;
    for (const queue of this.queues) queue.reset();
    this.#registers.reset();
    this.#kind.config.reset();
    this.#kind.reset();
    this.#registers.set('numQueues', BigInt(this.queues.length));
    this.#showFeatures();
    this.#showQueue();
    this.#port.irq.intx(false);
  }
  #setStatus(value: number): void {
    if (value === 0) {
      this.#resetAll();
      return;
    }
    const before = this.#status;
    const isNew = (bit: number): boolean => (value & ~before & bit) !== 0;
    let status = value | (before & VIRTIO_CONFIG_S_NEEDS_RESET);
    if (isNew(VIRTIO_CONFIG_S_FEATURES_OK) && !this.#accepts()) {
      status &= ~VIRTIO_CONFIG_S_FEATURES_OK;
    }
    this.#registers.set('deviceStatus', BigInt(status));
    if (!isNew(VIRTIO_CONFIG_S_DRIVER_OK)) return;
    this.#kind.started?.();
    this.#serveAll();
  }
  #accepts(): boolean {
    const isModern = (this.features & featureBits(VIRTIO_F_VERSION_1)) !== 0n;
    return isModern && (this.features & ~this.#offered) === 0n;
  }

  /** The halves of the feature bits that are selected. */
  #showFeatures(): void {
    const half = (bits: bigint, select: bigint): bigint =>
      select > 1n ? 0n : bits >> (32n * select);
    const file = this.#registers;
    file.set('deviceFeature', half(this.#offered, file.get('deviceFeatureSelect')));
    file.set('driverFeature', half(this.features, file.get('driverFeatureSelect')));
  }
  #acceptFeatures(value: bigint): void {
    const select = this.#registers.get('driverFeatureSelect');
    const fixed = (this.#status & VIRTIO_CONFIG_S_FEATURES_OK) !== 0;
    if (!fixed && select <= 1n) {
      const shift = 32n * select;
      this.features = (this.features & ~(0xffff_ffffn << shift)) | (value << shift);
    }
    this.#showFeatures();
  }
  get #selected(): Virtqueue | undefined {
    return this.queues[Number(this.#registers.get('queueSelect'))];
  }
  /** The registers of the queue that is selected; zeros where none is. */
  #showQueue(): void {
    const { size, vector, enabled, index, desc, driver, device } = this.#selected ?? NO_QUEUE;
    const file = this.#registers;
    file.set('queueSize', BigInt(size));
    file.set('queueMsixVector', BigInt(vector));
    file.set('queueEnable', enabled ? 1n : 0n);
    file.set('queueNotifyOff', BigInt(index));
    file.set('queueNotifyData', BigInt(index));
    file.set('queueDesc', desc);
    file.set('queueDriver', driver);
    file.set('queueDevice', device);
  }
  /** A queue that is enabled keeps what it has. */
  #changeQueue(change: (queue: Virtqueue) => void): void {
    const queue = this.#selected;
    if (queue && !queue.enabled) change(queue);
    this.#showQueue();
  }
  #setQueueSize(queue: Virtqueue, size: number): void {
    const packed = (this.features & featureBits(VIRTIO_F_RING_PACKED)) !== 0n;
    const isPower = (size & (size - 1)) === 0;
    if (size > 0 && size <= queue.largest && (packed || isPower)) queue.size = size;
  }
  #resetQueue(): void {
    const queue = this.#selected;
    if (!queue || (this.features & featureBits(VIRTIO_F_RING_RESET)) === 0n) return;
    this.#kind.forget(queue);
    this.#waiting.delete(queue.index);
    queue.reset();
    this.#showQueue();
  }
  /** Also of a queue that is enabled. */
  #setQueueVector(vector: number): void {
    const queue = this.#selected;
    if (queue) queue.vector = vector;
    this.#showQueue();
  }
  #vectorOf(value: bigint): number {
    return value < BigInt(this.#vectors) ? Number(value) : VIRTIO_MSI_NO_VECTOR;
  }

  #file(offset: number): RegisterFile<RegisterTable> | RegisterFile<typeof VIRTIO_REGISTERS> {
    const isConfig = offset >= DEVICE_CONFIG && offset < DEVICE_CONFIG + 0x1000;
    return isConfig ? this.#kind.config : this.#registers;
  }
  #makeRegisters(): RegisterFile<typeof VIRTIO_REGISTERS> {
    const show =
      (name: 'deviceFeatureSelect' | 'driverFeatureSelect' | 'queueSelect') =>
      (value: bigint): void => {
        this.#registers.set(name, value);
        this.#showFeatures();
        this.#showQueue();
      };
    const ofQueue =
      (change: (queue: Virtqueue, value: bigint) => void) =>
      (value: bigint): void =>
        this.#changeQueue((queue) => change(queue, value));
    return new RegisterFile(
      VIRTIO_REGISTERS,
      {
        deviceFeatureSelect: show('deviceFeatureSelect'),
        driverFeatureSelect: show('driverFeatureSelect'),
        queueSelect: show('queueSelect'),
        driverFeature: (value) => this.#acceptFeatures(value),
        configMsixVector: (value) =>
          this.#registers.set('configMsixVector', BigInt(this.#vectorOf(value))),
        deviceStatus: (value) => this.#setStatus(Number(value)),
        queueSize: ofQueue((queue, value) => this.#setQueueSize(queue, Number(value))),
        queueMsixVector: (value) => this.#setQueueVector(this.#vectorOf(value)),
        queueEnable: ofQueue((queue, value) => value === 1n && queue.enable()),
        queueDesc: ofQueue((queue, value) => (queue.desc = value)),
        queueDriver: ofQueue((queue, value) => (queue.driver = value)),
        queueDevice: ofQueue((queue, value) => (queue.device = value)),
        queueReset: (value) => value === 1n && this.#resetQueue(),
        notify: (_value, index) => this.#notified(index),
      },
      { widths: 'bytes', absent: 'zeros', loads: { isr: (value) => this.#readIsr(value) } },
    );
  }
  #notified(index: number): void {
    const queue = this.queues[index];
    if (queue) this.kick(queue);
  }
  #readIsr(value: bigint): bigint {
    this.#registers.set('isr', 0n);
    this.#port.irq.intx(false);
    return value;
  }
}
