/**
 * A DMA engine of Intel's CBDMA family: 8086:2021, one channel that copies and fills along a chain of descriptors in
 * memory (devices.md 2, vfio.md 5.3). The kernel's VFIO selftests, DPDK's dma_ioat and Linux' ioatdma drive it.
 *
 * It is serial: descriptors end one after another, so fences mean nothing to it. What a DMACOUNT write asks for begins
 * inside that write, and what is much goes on tick by tick.
 *
 * NOT IMPLEMENTED: direct cache access, XOR and PQ operations, DIF, more than one channel, latency tolerance reporting,
 * the prefetch limit, coalescing by INTRDELAY, and the effect of CHANERRMASK. INTRCTRL holds what is written and masks
 * nothing; interrupts are MSI-X messages only.
 */
import type { DeviceModel, DeviceOptions, DevicePort, DeviceType, PciIdentity } from '../port.ts';
import { fillPattern } from '../unit/pattern.ts';
import { LongTransfer, type LongState } from '../unit/long-transfer.ts';
import { Scratch } from '../unit/scratch.ts';
import { Pump } from '../unit/pump.ts';
import { offsetsOf, RegisterFile, type RegisterState } from '../unit/registers.ts';
import { CTL, DESCRIPTOR_SIZE, DMA_DESCRIPTOR, OPCODE, type DmaDescriptor } from './descriptor.ts';
import {
  CHANCMD,
  CHANCTRL,
  CHANERR,
  CHANSTS,
  CONFIG_CHANERR,
  CONFIG_CHANERR_MASK,
  IOAT_REGISTERS,
} from './registers.ts';

export * from './descriptor.ts';
export * from './registers.ts';
export const IOAT_REG = offsetsOf(IOAT_REGISTERS);

const OPTIONS = {
  cbver: {
    kind: 'integer',
    default: 0x33,
    min: 0x30,
    max: 0x34,
    hex: true,
    help: 'version: the selftests take 0x32 and 0x33, DPDK handles errors from 0x34 on',
  },
  xfercap: {
    kind: 'integer',
    default: 16,
    min: 12,
    max: 20,
    help: 'log2 of the most bytes of one descriptor',
  },
  recovery_us: {
    kind: 'integer',
    default: 0,
    max: 1_000_000,
    help: 'microseconds from a count to the first descriptor after an error; 0: it is worked off in the store',
  },
} as const;

const IDENTITY: PciIdentity = {
  vendor: 0x8086,
  device: 0x2021,
  revision: 0x04,
  classCode: 0x08_80_00,
  bars: [{ index: 0, size: 0x4000, kind: 'mem64' }],
  interruptPin: 0,
  powerManagement: true,
  pcie: { flr: true, type: 'endpoint' },
  msix: { vectors: 1, bar: 0, tableOffset: 0x2000, pbaOffset: 0x3000 },
  configRegisters: [
    { offset: CONFIG_CHANERR_MASK, clear: 0xffff_ffff },
    { offset: CONFIG_CHANERR, clear: 0xffff_ffff },
  ],
};

export const ioat: DeviceType = {
  type: 'ioat',
  summary: 'Intel I/OAT DMA engine: copies and fills along a chain, one channel (8086:2021)',
  migratable: true,
  options: OPTIONS,
  registers: [{ bar: 0, table: IOAT_REGISTERS }],
  identity: () => IDENTITY,
  create: (port, options) => new Ioat(port, options),
};

/** What an ioat is at one moment. */
interface IoatState {
  readonly registers: RegisterState;
  readonly state: number;
  readonly last: bigint;
  readonly next: bigint;
  readonly done: number;
  readonly limit: number;
  readonly hasFailed: boolean;
  readonly copy: CopyState | undefined;
  readonly leftNs: number | undefined;
}
/** A descriptor at work: all is read before anything is written. */
interface Copy {
  readonly at: bigint;
  readonly descriptor: DmaDescriptor;
  transfer: LongTransfer;
  isWriting: boolean;
}
/** The same as plain values. */
interface CopyState {
  readonly at: bigint;
  readonly descriptor: Uint8Array;
  readonly transfer: LongState;
  readonly isWriting: boolean;
}

class Ioat implements DeviceModel {
  readonly #port: DevicePort;
  readonly #options: DeviceOptions;
  /** Bytes of a descriptor. */
  readonly #most: number;
  readonly #recoveryNs: number;
  readonly #pump: Pump;
  readonly #registers: RegisterFile<typeof IOAT_REGISTERS> = new RegisterFile(
    IOAT_REGISTERS,
    {
      chancmd: (value) => this.#command(Number(value)),
      dmacount: (value) => this.#count(Number(value)),
      chainaddr: (value) => this.#arm(value),
    },
    { widths: 'bytes', absent: 'zeros' },
  );
  #state: number = CHANSTS.halted;
  /** Of the latest descriptor that has ended since the chain began, 0 for none. */
  #last = 0n;
  #next = 0n;
  #done = 0;
  #limit = 0;
  /** Nothing has been begun since. */
  #hasFailed = false;
  #copy: Copy | undefined;
  /** Of that one. */
  readonly #scratch = new Scratch();

  constructor(port: DevicePort, options: DeviceOptions) {
    this.#port = port;
    this.#options = options;
    this.#most = 2 ** Number(options['xfercap']);
    this.#recoveryNs = Number(options['recovery_us']) * 1000;
    this.#pump = new Pump(port.clock, (work) => this.#step(work), { dma: port.dma });
  }

  powerOn(): void {
    this.#registers.reset();
    this.#registers.set('cbver', BigInt(Number(this.#options['cbver'])));
    this.#registers.set('xfercap', BigInt(Number(this.#options['xfercap'])));
    this.#next = 0n;
    this.#hasFailed = false;
    this.#resetChannel();
  }
  reset(): void {
    this.powerOn();
  }
  mmioRead(_bar: number, offset: number, width: number): bigint {
    return this.#registers.load(offset, width);
  }
  mmioWrite(_bar: number, offset: number, width: number, value: bigint): void {
    this.#registers.store(offset, width, value);
  }
  registerName(_bar: number, offset: number): string | undefined {
    return this.#registers.nameAt(offset);
  }
  state(): IoatState {
    return {
      registers: this.#registers.state(),
      state: this.#state,
      last: this.#last,
      next: this.#next,
      done: this.#done,
      limit: this.#limit,
      hasFailed: this.#hasFailed,
      copy: this.#copy && {
        ...this.#copy,
        descriptor: this.#copy.descriptor.bytes.slice(),
        transfer: this.#copy.transfer.state(),
      },
      leftNs: this.#pump.leftNs,
    };
  }
  restore(state: IoatState): void {
    this.#registers.restore(state.registers);
    this.#state = state.state;
    this.#last = state.last;
    this.#next = state.next;
    this.#done = state.done;
    this.#limit = state.limit;
    this.#hasFailed = state.hasFailed;
    this.#copy = state.copy && {
      ...state.copy,
      descriptor: DMA_DESCRIPTOR.view(state.copy.descriptor.slice()),
      transfer: LongTransfer.restored(this.#port.dma, state.copy.transfer),
    };
    this.#pump.restore(state.leftNs);
  }

  get #status(): bigint {
    return this.#last | BigInt(this.#state);
  }
  #become(state: number): void {
    this.#state = state;
    this.#registers.set('chansts', this.#status);
    this.#registers.set('cdar', this.#next);
  }

  #resetChannel(): void {
    this.#pump.cancel();
    this.#copy = undefined;
    this.#last = 0n;
    this.#done = this.#limit = 0;
    this.#become(CHANSTS.halted);
  }
  #command(bits: number): void {
    const halted = this.#state === CHANSTS.halted;
    if (bits & CHANCMD.reset) this.#resetChannel();
    else if (bits & CHANCMD.abort) this.#stop(CHANSTS.halted);
    else if (bits & CHANCMD.suspend && !halted) this.#stop(CHANSTS.suspended);
    else if (bits & CHANCMD.resume && this.#state === CHANSTS.suspended) this.#resume();
    else if (bits & CHANCMD.append) this.#start();
  }
  /** What has begun of a descriptor begins again, if it goes on. */
  #stop(state: number): void {
    this.#pump.cancel();
    this.#copy = undefined;
    this.#become(state);
  }
  #resume(): void {
    this.#become(CHANSTS.idle);
    this.#start();
  }
  /** Either half of the address, as a driver without 64-bit stores writes it. */
  #arm(address: bigint): void {
    this.#registers.set('chainaddr', address);
    if (this.#state === CHANSTS.active) return;
    this.#next = address;
    this.#last = 0n;
    this.#done = this.#limit = 0;
    this.#become(CHANSTS.armed);
  }
  #count(limit: number): void {
    this.#registers.set('dmacount', BigInt(limit));
    if (this.#state === CHANSTS.halted) return;
    this.#limit = limit;
    this.#start();
  }
  /** Nothing while halted, suspended or at work; a count that asks for nothing leaves the channel armed. */
  #start(): void {
    const waits = this.#state === CHANSTS.armed || this.#state === CHANSTS.idle;
    if (!waits || this.#done === this.#limit) return;
    this.#become(CHANSTS.active);
    // DPDK 22.11 loses an operation when the rest is done before it has asked for the status of the one that failed.
    const recovers = this.#hasFailed && this.#recoveryNs > 0;
    this.#hasFailed = false;
    if (recovers) this.#pump.restore(this.#recoveryNs);
    else this.#pump.run();
  }

  /** One descriptor, or a part of it. */
  #step(work: number): number | undefined {
    if (this.#state !== CHANSTS.active) return undefined;
    if (this.#copy) return this.#goOn(this.#copy, work);
    const at = this.#next;
    if (at % BigInt(DESCRIPTOR_SIZE) !== 0n) {
      return this.#halt(this.#last === 0n ? CHANERR.chainAddress : CHANERR.nextAddress);
    }
    const descriptor = DMA_DESCRIPTOR.make();
    if (this.#port.dma.read(at, descriptor.bytes)) return this.#halt(CHANERR.readData);
    const wrong = this.#wrong(descriptor);
    if (wrong !== 0) return this.#halt(wrong);
    if (descriptor.ctl & CTL.null) return this.#complete(at, descriptor);
    this.#copy = this.#begin(at, descriptor);
    return this.#goOn(this.#copy, work);
  }
  #begin(at: bigint, descriptor: DmaDescriptor): Copy {
    const { ctl, size, src } = descriptor;
    if (ctl >>> 24 === OPCODE.copy) {
      const transfer = LongTransfer.reading(
        this.#port.dma,
        [[{ at: src, length: size }]],
        this.#scratch,
      );
      return { at, descriptor, transfer, isWriting: false };
    }
    const bytes = fillPattern(this.#scratch.take(size), src);
    return { at, descriptor, transfer: this.#writing(descriptor, bytes), isWriting: true };
  }
  #writing({ dst, size }: DmaDescriptor, bytes: Uint8Array): LongTransfer {
    return LongTransfer.writing(this.#port.dma, [{ pieces: [{ at: dst, length: size }], bytes }]);
  }
  #goOn(copy: Copy, work: number): number {
    const before = this.#port.dma.work;
    const { transfer, descriptor } = copy;
    transfer.go(work);
    if (this.#copy !== copy || !transfer.isOver) return 0;
    if (!copy.isWriting) {
      const [bytes] = transfer.read;
      if (!bytes) return this.#halt(CHANERR.sourceAddress);
      copy.transfer = this.#writing(descriptor, bytes);
      copy.isWriting = true;
      const left = work - (this.#port.dma.work - before);
      return left > 0 ? this.#goOn(copy, left) : 0;
    }
    if (!transfer.ends[0]) return this.#halt(CHANERR.destinationAddress);
    this.#copy = undefined;
    return this.#complete(copy.at, descriptor);
  }
  #complete(at: bigint, { ctl, next }: DmaDescriptor): number {
    this.#done = (this.#done + 1) & 0xffff;
    this.#last = at;
    this.#next = next;
    this.#become(this.#done === this.#limit ? CHANSTS.idle : CHANSTS.active);
    if (ctl & CTL.completionWrite && !this.#tellMemory()) {
      this.#fail(CHANERR.completionAddress);
      return 0;
    }
    if (ctl & CTL.interrupt) this.#interrupt();
    return 0;
  }

  /** Bits of CHANERR, 0 when it can be done. */
  #wrong({ ctl, size }: DmaDescriptor): number {
    if (ctl & CTL.reserved) return CHANERR.control;
    if (ctl & CTL.null) return 0;
    const opcode = ctl >>> 24;
    if (opcode !== OPCODE.copy && opcode !== OPCODE.fill) return CHANERR.control;
    return size === 0 || size > this.#most ? CHANERR.control | CHANERR.length : 0;
  }

  #halt(bits: number): number {
    this.#copy = undefined;
    this.#fail(bits);
    const control = Number(this.#registers.get('chanctrl'));
    if (control & CHANCTRL.errorCompletion && !this.#tellMemory()) {
      this.#fail(CHANERR.completionAddress);
    }
    if (control & CHANCTRL.errorInterrupt) this.#interrupt();
    return 0;
  }
  #fail(bits: number): void {
    const errors = this.#registers.get('chanerr') | BigInt(bits);
    this.#registers.set('chanerr', errors);
    this.#hasFailed = true;
    this.#port.config.set(CONFIG_CHANERR, Number(errors));
    this.#become(CHANSTS.halted);
  }
  /** False: it cannot be written there. */
  #tellMemory(): boolean {
    const word = new Uint8Array(8);
    new DataView(word.buffer).setBigUint64(0, this.#status, true);
    return !this.#port.dma.write(this.#registers.get('chancmp'), word);
  }
  #interrupt(): void {
    this.#registers.set('attnstatus', 1n);
    this.#port.irq.message(0);
  }
}
