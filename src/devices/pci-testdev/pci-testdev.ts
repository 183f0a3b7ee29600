/**
 * QEMU's PCI test device: 1b36:0005, conventional PCI, registers in memory and in I/O space that count what is written to
 * a place they name (devices.md 8.1).
 *
 * A test is selected by its number; then a header of bytes says where to write what. Writes that QEMU turns into an
 * event of its own (tests with an eventfd) are not counted, as there.
 *
 * NOT IMPLEMENTED: nothing of the register set is left out.
 */
import type { DeviceModel, DeviceOptions, DeviceType, PciIdentity } from '../port.ts';

interface Test {
  readonly name: string;
  readonly bar: number;
  /** Where it is to be written, and what. */
  readonly offset: number;
  readonly data: number;
  readonly counts: boolean;
}

/** By number; those of a BAR follow each other. */
export const PCI_TESTS: readonly Test[] = [
  { name: 'mmio-no-eventfd', bar: 0, offset: 0x800, data: 0xfa, counts: true },
  { name: 'mmio-wildcard-eventfd', bar: 0, offset: 0x801, data: 0xce, counts: false },
  { name: 'mmio-datamatch-eventfd', bar: 0, offset: 0x802, data: 0xfa, counts: false },
  { name: 'portio-no-eventfd', bar: 1, offset: 0x83, data: 0xfa, counts: true },
  { name: 'portio-wildcard-eventfd', bar: 1, offset: 0x84, data: 0xce, counts: false },
  { name: 'portio-datamatch-eventfd', bar: 1, offset: 0x85, data: 0xfa, counts: false },
];
/** Tests of one BAR. */
const IN_BAR = 3;
/** The name begins here. */
const NAME = 16;

const OPTIONS = {
  membar: {
    kind: 'integer',
    default: 0,
    max: 2 ** 36,
    hex: true,
    help: 'bytes of BAR 2, 64-bit memory without storage, a power of two; 0 for none',
  },
} as const;

export const pciTestdev: DeviceType = {
  type: 'pci-testdev',
  summary: 'QEMU pci-testdev: counts writes to memory and I/O registers (1b36:0005)',
  migratable: true,
  options: OPTIONS,
  identity: identityOf,
  create: () => new PciTestdev(),
};

function identityOf(options: DeviceOptions): PciIdentity {
  const size = Number(options['membar']);
  return {
    vendor: 0x1b36,
    device: 0x0005,
    revision: 0,
    classCode: 0x00_ff_00,
    subsystemVendor: 0x1af4,
    subsystem: 0x1100,
    bars: [
      { index: 0, size: 0x1000, kind: 'mem32' },
      { index: 1, size: 0x100, kind: 'io' },
      ...(size > 0 ? [{ index: 2, size, kind: 'mem64', prefetchable: true } as const] : []),
    ],
    interruptPin: 0,
  };
}

/** What a test device is at one moment. */
interface PciTestdevState {
  /** Undefined: none is selected. */
  readonly selected: number | undefined;
  readonly count: number;
}

class PciTestdev implements DeviceModel {
  #selected: number | undefined;
  #count = 0;

  powerOn(): void {
    this.#selected = undefined;
    this.#count = 0;
  }
  reset(): void {
    this.powerOn();
  }
  /** Whatever the width, bytes are read and written one by one. */
  mmioRead(bar: number, offset: number, width: number): bigint {
    const header = bar < 2 ? this.#header() : new Uint8Array();
    let value = 0n;
    for (let n = width - 1; n >= 0; n--) value = (value << 8n) | BigInt(header[offset + n] ?? 0);
    return value;
  }
  mmioWrite(bar: number, offset: number, width: number, value: bigint): void {
    for (let n = 0; n < width; n++) {
      this.#write(bar, offset + n, Number((value >> BigInt(8 * n)) & 0xffn));
    }
  }
  state(): PciTestdevState {
    return { selected: this.#selected, count: this.#count };
  }
  restore({ selected, count }: PciTestdevState): void {
    this.#selected = selected;
    this.#count = count;
  }

  #write(bar: number, offset: number, byte: number): void {
    if (bar >= 2) return;
    if (offset === 0) {
      this.#selected = byte < IN_BAR ? bar * IN_BAR + byte : undefined;
      this.#count = 0;
      return;
    }
    const test = this.#test;
    if (!test?.counts || test.bar !== bar || test.offset !== offset) return;
    if (byte === test.data) this.#count = (this.#count + 1) >>> 0;
  }
  get #test(): Test | undefined {
    return this.#selected === undefined ? undefined : PCI_TESTS[this.#selected];
  }
  /** Number, width, offset, data, count and name; nothing while no test is selected. */
  #header(): Uint8Array {
    const test = this.#test;
    if (!test || this.#selected === undefined) return new Uint8Array();
    const bytes = new Uint8Array(NAME + test.name.length + 1);
    const view = new DataView(bytes.buffer);
    view.setUint8(0, this.#selected);
    view.setUint8(1, 1);
    view.setUint32(4, test.offset, true);
    view.setUint8(8, test.data);
    view.setUint32(12, this.#count, true);
    bytes.set(new TextEncoder().encode(test.name), NAME);
    return bytes;
  }
}
