/**
 * The "edu" teaching device as QEMU has it (vfio.md 6.1; QEMU's docs/specs/edu.rst): 1234:11e8, one 1 MiB BAR, a factorial
 * unit, a DMA engine with a 4 KiB buffer, one MSI or INTA.
 *
 * Work takes time on the port's clock: 100 ms for a DMA, a little for a factorial. Everything the guest of QEMU could
 * do wrong with a fatal error (a device address outside the buffer) is ignored here: the engine ends, nothing moves.
 *
 * NOT IMPLEMENTED: nothing of the register set is left out.
 */
import type { Status } from '../base/errno.ts';
import type { DeviceModel, DevicePort, DeviceType, PciIdentity } from './port.ts';

export const EDU_ID = 0x0100_00ed;
/** Device address of the DMA buffer, and its size. */
export const EDU_BUFFER = 0x4_0000;
export const EDU_BUFFER_SIZE = 4096;

/** Offsets in BAR 0. */
export const EDU_REG = {
  id: 0x00,
  liveness: 0x04,
  factorial: 0x08,
  status: 0x20,
  irqStatus: 0x24,
  irqRaise: 0x60,
  irqAck: 0x64,
  dmaSource: 0x80,
  dmaDestination: 0x88,
  dmaCount: 0x90,
  dmaCommand: 0x98,
} as const;

export const EDU_STATUS_COMPUTING = 0x01;
export const EDU_STATUS_IRQ = 0x80;
export const EDU_DMA_START = 0x1;
export const EDU_DMA_TO_RAM = 0x2;
export const EDU_DMA_IRQ = 0x4;
export const EDU_IRQ_FACTORIAL = 0x001;
export const EDU_IRQ_DMA = 0x100;

/** Registers below this offset take 4-byte accesses only, the others 4 or 8. */
const FIRST_WIDE = 0x80;
const FACTORIAL_NS = 10_000;

const OPTIONS = {
  dma_mask_bits: {
    default: 28,
    min: 1,
    max: 64,
    help: 'bus address bits the DMA engine drives; higher ones are cut',
  },
  pcie: {
    default: false,
    help: 'a PCIe endpoint with function-level reset; QEMU has it conventional',
  },
  dma_delay_us: {
    default: 100_000,
    max: 60_000_000,
    help: 'microseconds from the start of a DMA to its end',
  },
} as const;

export const edu: DeviceType = {
  type: 'edu',
  summary: 'QEMU edu: factorial, DMA engine with a 4 KiB buffer, MSI or INTx (1234:11e8)',
  options: OPTIONS,
  identity: (options) =>
    options['pcie'] ? { ...IDENTITY, pcie: { flr: true, type: 'endpoint' } } : IDENTITY,
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

type WideRegister = 0x80 | 0x88 | 0x90;

class Edu implements DeviceModel {
  readonly #port: DevicePort;
  readonly #dmaMask: bigint;
  readonly #delayNs: number;
  readonly #buffer = new Uint8Array(EDU_BUFFER_SIZE);
  #liveness = 0;
  #factorial = 0;
  #status = 0;
  #irqStatus = 0;
  readonly #dma: Record<WideRegister, bigint> = { 0x80: 0n, 0x88: 0n, 0x90: 0n };
  #command = 0n;
  /** What the bus answered to the latest transfer. The register set has no bit for it: only a debugger sees this. */
  lastTransfer: Status<'EFAULT'>;
  #working: Disposable | undefined;
  #transfer: Disposable | undefined;

  constructor(port: DevicePort, config: { maskBits: number; delayNs: number }) {
    this.#port = port;
    this.#dmaMask = (1n << BigInt(config.maskBits)) - 1n;
    this.#delayNs = config.delayNs;
  }

  reset(): void {
    this.#working?.[Symbol.dispose]();
    this.#transfer?.[Symbol.dispose]();
    this.#working = undefined;
    this.#transfer = undefined;
    this.#buffer.fill(0);
    this.#liveness = 0;
    this.#factorial = 0;
    this.#status = 0;
    this.#irqStatus = 0;
    this.#dma[0x80] = 0n;
    this.#dma[0x88] = 0n;
    this.#dma[0x90] = 0n;
    this.#command = 0n;
    this.#port.intx(false);
  }

  mmioRead(_bar: number, offset: number, width: number): bigint {
    const ones = (1n << BigInt(8 * width)) - 1n;
    if (!accepts(offset, width)) return ones;
    const value = this.#read(offset);
    return value === undefined ? ones : value & ones;
  }

  mmioWrite(_bar: number, offset: number, width: number, value: bigint): void {
    if (!accepts(offset, width)) return;
    if (offset >= FIRST_WIDE) this.#writeDma(offset, value);
    else this.#write(offset, Number(value));
  }

  #read(offset: number): bigint | undefined {
    switch (offset) {
      case EDU_REG.id:
        return BigInt(EDU_ID);
      case EDU_REG.liveness:
        return BigInt(this.#liveness);
      case EDU_REG.factorial:
        return BigInt(this.#factorial);
      case EDU_REG.status:
        return BigInt(this.#status);
      case EDU_REG.irqStatus:
        return BigInt(this.#irqStatus);
      case EDU_REG.dmaSource:
      case EDU_REG.dmaDestination:
      case EDU_REG.dmaCount:
        return this.#dma[offset];
      case EDU_REG.dmaCommand:
        return this.#command;
      default:
        return undefined;
    }
  }

  #write(offset: number, value: number): void {
    switch (offset) {
      case EDU_REG.liveness:
        this.#liveness = ~value >>> 0;
        break;
      case EDU_REG.factorial:
        this.#startFactorial(value);
        break;
      case EDU_REG.status:
        this.#status = (this.#status & ~EDU_STATUS_IRQ) | (value & EDU_STATUS_IRQ);
        break;
      case EDU_REG.irqRaise:
        this.#raise(value);
        break;
      case EDU_REG.irqAck:
        this.#acknowledge(value);
        break;
    }
  }

  #startFactorial(n: number): void {
    if (this.#status & EDU_STATUS_COMPUTING) return;
    this.#status |= EDU_STATUS_COMPUTING;
    this.#factorial = n;
    this.#working = this.#port.clock.after(FACTORIAL_NS, () => {
      this.#factorial = factorial(n);
      this.#status &= ~EDU_STATUS_COMPUTING;
      if (this.#status & EDU_STATUS_IRQ) this.#raise(EDU_IRQ_FACTORIAL);
    });
  }

  #writeDma(offset: number, value: bigint): void {
    if (this.#command & BigInt(EDU_DMA_START)) return;
    switch (offset) {
      case EDU_REG.dmaSource:
      case EDU_REG.dmaDestination:
      case EDU_REG.dmaCount:
        this.#dma[offset] = value;
        break;
      case EDU_REG.dmaCommand:
        if (!(value & BigInt(EDU_DMA_START))) return;
        this.#command = value;
        this.#transfer = this.#port.clock.after(this.#delayNs, () => this.#endTransfer());
        break;
    }
  }

  #endTransfer(): void {
    const toRam = (this.#command & BigInt(EDU_DMA_TO_RAM)) !== 0n;
    const source = this.#dma[EDU_REG.dmaSource];
    const destination = this.#dma[EDU_REG.dmaDestination];
    const window = this.#window(toRam ? source : destination);
    if (window && window.length > 0) {
      const bus = (toRam ? destination : source) & this.#dmaMask;
      this.lastTransfer = toRam ? this.#port.write(bus, window) : this.#port.read(bus, window);
    }
    this.#command &= ~BigInt(EDU_DMA_START);
    if (this.#command & BigInt(EDU_DMA_IRQ)) this.#raise(EDU_IRQ_DMA);
  }

  /** The part of the buffer a transfer names, or undefined when it leaves the buffer. */
  #window(deviceAddress: bigint): Uint8Array | undefined {
    const start = deviceAddress - BigInt(EDU_BUFFER);
    const end = start + this.#dma[EDU_REG.dmaCount];
    if (start < 0n || end > BigInt(EDU_BUFFER_SIZE)) return undefined;
    return this.#buffer.subarray(Number(start), Number(end));
  }

  #raise(bits: number): void {
    this.#irqStatus = (this.#irqStatus | bits) >>> 0;
    if (this.#irqStatus === 0) return;
    if (this.#port.messagesEnabled) this.#port.interrupt(0);
    else this.#port.intx(true);
  }
  #acknowledge(bits: number): void {
    this.#irqStatus = (this.#irqStatus & ~bits) >>> 0;
    if (this.#irqStatus === 0) this.#port.intx(false);
  }
}

function accepts(offset: number, width: number): boolean {
  return width === 4 || (width === 8 && offset >= FIRST_WIDE);
}

/** 32-bit wrap as the hardware; 0! is 1. From 34! on every result is 0, so the loop may stop there. */
function factorial(n: number): number {
  let value = 1;
  for (let k = n; k > 1 && value !== 0; k--) value = Math.imul(value, k);
  return value >>> 0;
}
