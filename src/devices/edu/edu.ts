/**
 * The "edu" teaching device as QEMU has it (vfio.md 6.1; QEMU's docs/specs/edu.rst): 1234:11e8, one 1 MiB BAR, a factorial
 * unit, a DMA engine with a 4 KiB buffer, one MSI or INTA.
 *
 * Work takes time on the port's clock: 100 ms for a DMA, a little for a factorial. Everything the guest of QEMU could
 * do wrong with a fatal error (a device address outside the buffer) is ignored here: the engine ends, nothing moves.
 *
 * NOT IMPLEMENTED: nothing of the register set is left out.
 */
import type { Status } from '../../base/errno.ts';
import { Delay } from '../unit/delay.ts';
import type { DeviceModel, DevicePort, DeviceType, PciIdentity } from '../port.ts';
import {
  offsetsOf,
  RegisterFile,
  type RegisterState,
  type RegisterTable,
} from '../unit/registers.ts';

export const EDU_ID = 0x0100_00ed;
/** Device address of the DMA buffer, and its size. */
export const EDU_BUFFER = 0x4_0000;
export const EDU_BUFFER_SIZE = 4096;

/** Registers of BAR 0. Those from 0x80 on take accesses of 4 and 8 bytes, the others of 4. */
export const EDU_REGISTERS = {
  id: { offset: 0x00, width: 4, access: 'ro', reset: EDU_ID, help: 'identification' },
  liveness: {
    offset: 0x04,
    width: 4,
    access: 'rw',
    help: 'reads the inversion of what was written',
  },
  factorial: { offset: 0x08, width: 4, access: 'rw', help: 'takes n, becomes n!' },
  status: { offset: 0x20, width: 4, access: 'rw', help: '0x01 computing, 0x80 interrupt after' },
  irqStatus: {
    offset: 0x24,
    width: 4,
    access: 'ro',
    help: 'causes of interrupts not acknowledged',
  },
  irqRaise: { offset: 0x60, width: 4, access: 'wo', help: 'adds causes and interrupts' },
  irqAck: { offset: 0x64, width: 4, access: 'wo', help: 'takes causes away' },
  dmaSource: { offset: 0x80, width: 8, narrow: [4], access: 'rw', help: 'from this address' },
  dmaDestination: { offset: 0x88, width: 8, narrow: [4], access: 'rw', help: 'to this address' },
  dmaCount: { offset: 0x90, width: 8, narrow: [4], access: 'rw', help: 'bytes' },
  dmaCommand: {
    offset: 0x98,
    width: 8,
    narrow: [4],
    access: 'rw',
    help: '0x1 start, 0x2 to RAM, 0x4 interrupt after',
  },
} as const satisfies RegisterTable;
/** Their offsets. */
export const EDU_REG = offsetsOf(EDU_REGISTERS);

export const EDU_STATUS_COMPUTING = 0x01;
export const EDU_STATUS_IRQ = 0x80;
export const EDU_DMA_START = 0x1;
export const EDU_DMA_TO_RAM = 0x2;
export const EDU_DMA_IRQ = 0x4;
export const EDU_IRQ_FACTORIAL = 0x001;
export const EDU_IRQ_DMA = 0x100;

const FACTORIAL_NS = 10_000;

const OPTIONS = {
  dma_mask_bits: {
    kind: 'integer',
    default: 28,
    min: 1,
    max: 64,
    help: 'bus address bits the DMA engine drives; higher ones are cut',
  },
  pcie: {
    kind: 'boolean',
    default: false,
    help: 'a PCIe endpoint with function-level reset and power states; QEMU has it conventional, with neither',
  },
  dma_delay_us: {
    kind: 'integer',
    default: 100_000,
    max: 60_000_000,
    help: 'microseconds from the start of a DMA to its end',
  },
} as const;

export const edu: DeviceType = {
  type: 'edu',
  summary: 'QEMU edu: factorial, DMA engine with a 4 KiB buffer, MSI or INTx (1234:11e8)',
  migratable: true,
  options: OPTIONS,
  registers: [{ bar: 0, table: EDU_REGISTERS }],
  identity: (options) => (options['pcie'] ? PCIE_IDENTITY : IDENTITY),
  create: (port, options) =>
    new Edu(port, {
      maskBits: Number(options['dma_mask_bits']),
      delayNs: Number(options['dma_delay_us']) * 1000,
    }),
};

const IDENTITY: PciIdentity = {
  vendor: 0x1234,
  device: 0x11e8,
  revision: 0x10,
  classCode: 0x00ff00,
  subsystemVendor: 0x1af4,
  subsystem: 0x1100,
  bars: [{ index: 0, size: 0x10_0000, kind: 'mem32' }],
  interruptPin: 1,
  msiVectors: 1,
  msi64: true,
};
/** PCI Express wants the PM capability of every endpoint. */
const PCIE_IDENTITY: PciIdentity = {
  ...IDENTITY,
  powerManagement: true,
  pcie: { flr: true, type: 'endpoint' },
};

/** What an edu is at one moment. */
interface EduState {
  readonly registers: RegisterState;
  readonly buffer: Uint8Array;
  /** Nanoseconds until the factorial, and the transfer, is done. */
  readonly workLeftNs: number | undefined;
  readonly transferLeftNs: number | undefined;
  readonly pin: boolean;
}

class Edu implements DeviceModel {
  readonly #port: DevicePort;
  readonly #dmaMask: bigint;
  readonly #delayNs: number;
  readonly #buffer = new Uint8Array(EDU_BUFFER_SIZE);
  readonly #registers: RegisterFile<typeof EDU_REGISTERS> = new RegisterFile(EDU_REGISTERS, {
    liveness: (value) => this.#registers.set('liveness', ~value),
    factorial: (n) => this.#startFactorial(n),
    status: (value) => this.#setStatus(EDU_STATUS_IRQ, Number(value)),
    irqRaise: (value) => this.#raise(Number(value)),
    irqAck: (value) => this.#acknowledge(Number(value)),
    dmaSource: (value) => this.#setUnlessBusy('dmaSource', value),
    dmaDestination: (value) => this.#setUnlessBusy('dmaDestination', value),
    dmaCount: (value) => this.#setUnlessBusy('dmaCount', value),
    dmaCommand: (value) => this.#startTransfer(value),
  });
  readonly #working: Delay;
  readonly #transfer: Delay;
  #pin = false;
  /** What the bus answered to the latest transfer. The register set has no bit for it: only a debugger sees this. */
  lastTransfer: Status<'EFAULT'>;

  constructor(port: DevicePort, config: { maskBits: number; delayNs: number }) {
    this.#port = port;
    this.#dmaMask = (1n << BigInt(config.maskBits)) - 1n;
    this.#delayNs = config.delayNs;
    this.#working = new Delay(port.clock, () => this.#endFactorial());
    this.#transfer = new Delay(port.clock, () => this.#endTransfer());
  }

  powerOn(): void {
    this.#registers.reset();
    this.#buffer.fill(0);
  }
  reset(): void {
    this.#working.cancel();
    this.#transfer.cancel();
    this.powerOn();
    this.#drivePin(false);
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
  state(): EduState {
    return {
      registers: this.#registers.state(),
      buffer: this.#buffer.slice(),
      workLeftNs: this.#working.leftNs,
      transferLeftNs: this.#transfer.leftNs,
      pin: this.#pin,
    };
  }
  restore(state: EduState): void {
    this.#registers.restore(state.registers);
    this.#buffer.set(state.buffer);
    this.#working.restart(state.workLeftNs);
    this.#transfer.restart(state.transferLeftNs);
    this.#drivePin(state.pin);
  }

  #setStatus(bits: number, value: number): void {
    const status = Number(this.#registers.get('status'));
    this.#registers.set('status', BigInt((status & ~bits) | (value & bits)));
  }
  #has(register: 'status' | 'dmaCommand', bit: number): boolean {
    return (this.#registers.get(register) & BigInt(bit)) !== 0n;
  }

  #startFactorial(n: bigint): void {
    if (this.#has('status', EDU_STATUS_COMPUTING)) return;
    this.#setStatus(EDU_STATUS_COMPUTING, EDU_STATUS_COMPUTING);
    this.#registers.set('factorial', n);
    this.#working.restart(FACTORIAL_NS);
  }
  #endFactorial(): void {
    const n = Number(this.#registers.get('factorial'));
    this.#registers.set('factorial', BigInt(factorial(n)));
    this.#setStatus(EDU_STATUS_COMPUTING, 0);
    if (this.#has('status', EDU_STATUS_IRQ)) this.#raise(EDU_IRQ_FACTORIAL);
  }

  #setUnlessBusy(register: 'dmaSource' | 'dmaDestination' | 'dmaCount', value: bigint): void {
    if (!this.#has('dmaCommand', EDU_DMA_START)) this.#registers.set(register, value);
  }
  #startTransfer(command: bigint): void {
    if (this.#has('dmaCommand', EDU_DMA_START) || !(command & BigInt(EDU_DMA_START))) return;
    this.#registers.set('dmaCommand', command);
    this.#transfer.restart(this.#delayNs);
  }
  #endTransfer(): void {
    const toRam = this.#has('dmaCommand', EDU_DMA_TO_RAM);
    const source = this.#registers.get('dmaSource');
    const destination = this.#registers.get('dmaDestination');
    const window = this.#window(toRam ? source : destination);
    if (window && window.length > 0) {
      const bus = (toRam ? destination : source) & this.#dmaMask;
      const { dma } = this.#port;
      this.lastTransfer = toRam ? dma.write(bus, window) : dma.read(bus, window);
    }
    const command = this.#registers.get('dmaCommand');
    this.#registers.set('dmaCommand', command & ~BigInt(EDU_DMA_START));
    if (this.#has('dmaCommand', EDU_DMA_IRQ)) this.#raise(EDU_IRQ_DMA);
  }

  /** The part of the buffer a transfer names, or undefined when it leaves the buffer. */
  #window(deviceAddress: bigint): Uint8Array | undefined {
    const start = deviceAddress - BigInt(EDU_BUFFER);
    const end = start + this.#registers.get('dmaCount');
    if (start < 0n || end > BigInt(EDU_BUFFER_SIZE)) return undefined;
    return this.#buffer.subarray(Number(start), Number(end));
  }

  #raise(causes: number): void {
    const status = (Number(this.#registers.get('irqStatus')) | causes) >>> 0;
    this.#registers.set('irqStatus', BigInt(status));
    if (status === 0) return;
    const { irq } = this.#port;
    if (irq.messagesEnabled) irq.message(0);
    else this.#drivePin(true);
  }
  #acknowledge(causes: number): void {
    const status = (Number(this.#registers.get('irqStatus')) & ~causes) >>> 0;
    this.#registers.set('irqStatus', BigInt(status));
    if (status === 0) this.#drivePin(false);
  }
  #drivePin(up: boolean): void {
    this.#pin = up;
    this.#port.irq.intx(up);
  }
}

/** 32-bit wrap as the hardware; 0! is 1. From 34! on every result is 0, so the loop may stop there. */
function factorial(n: number): number {
  let value = 1;
  for (let k = n; k > 1 && value !== 0; k--) value = Math.imul(value, k);
  return value >>> 0;
}
