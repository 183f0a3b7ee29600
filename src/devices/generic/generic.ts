/**
 * A function without behaviour: ids, BARs that hold what is written, capabilities as asked for. It fills places in a
 * topology: neighbours, virtual functions, devices whose registers do not matter, those of a real machine.
 *
 * NOT IMPLEMENTED: it does no DMA and raises no interrupt.
 */
import { BAR_PAGE } from '../../base/bar-memory.ts';
import type {
  BarMemory,
  BarSpec,
  DeviceModel,
  DeviceOptions,
  DevicePort,
  DeviceType,
  PciIdentity,
  PciePortType,
  PageRange,
  VirtualIdentity,
} from '../port.ts';
import { loadFrom, storeTo } from '../unit/memory.ts';
import { BAR_LIST_FORM, barList } from './bar-list.ts';

const OPTIONS = {
  // 0xffff is what a read of an empty slot gives.
  vendor: { kind: 'integer', default: 0x1b36, max: 0xfffe, hex: true, help: 'vendor id' },
  // QEMU's PCI test device: a class of its own kind, and no driver takes it for what it is not.
  device: { kind: 'integer', default: 0x0005, max: 0xffff, hex: true, help: 'device id' },
  class: {
    kind: 'integer',
    default: 0x00ff00,
    max: 0xff_ffff,
    hex: true,
    help: 'class code, 24 bits',
  },
  revision: { kind: 'integer', default: 1, max: 0xff, help: 'revision id' },
  bar_size: {
    kind: 'integer',
    default: 0x4000,
    max: 2 ** 36,
    hex: true,
    help: 'bytes of BAR 0, 64-bit memory, a power of two; 0 for none; where bars says nothing',
  },
  bars: {
    kind: 'text',
    default: '',
    list: true,
    form: BAR_LIST_FORM,
    help: 'all BARs, in place of bar_size: INDEX:KIND:BYTES,…; kinds io, mem32, mem64, and mem32p, mem64p that are prefetchable',
  },
  subsystem_vendor: {
    kind: 'integer',
    default: 0,
    max: 0xffff,
    hex: true,
    help: 'subsystem vendor id',
  },
  subsystem: { kind: 'integer', default: 0, max: 0xffff, hex: true, help: 'subsystem id' },
  interrupt_pin: {
    kind: 'integer',
    default: 0,
    max: 4,
    help: '1 to 4 for INTA to INTD; 0 for none',
  },
  pcie: {
    kind: 'boolean',
    default: true,
    help: 'a PCIe function, or conventional PCI',
  },
  pcie_kind: {
    kind: 'choice',
    values: ['endpoint', 'legacy-endpoint', 'rc-integrated'],
    default: 'endpoint',
    help: 'what a PCIe function is, by its capability',
  },
  flr: { kind: 'boolean', default: true, help: 'function-level reset; PCIe only' },
  msi_vectors: {
    kind: 'choice',
    values: [0, 1, 2, 4, 8, 16, 32],
    default: 0,
    help: 'MSI vectors; 0 for none',
  },
  msix_vectors: {
    kind: 'integer',
    default: 4,
    max: 2048,
    help: 'MSI-X vectors; 0 for none; without bars, BAR 4 is made for up to 256',
  },
  msix_bar: { kind: 'integer', default: 4, max: 5, help: 'BAR of the MSI-X table; with bars only' },
  msix_table: {
    kind: 'integer',
    default: 0,
    max: 0xffff_fff8,
    hex: true,
    help: 'offset of the MSI-X table; with bars only',
  },
  msix_pba: {
    kind: 'integer',
    default: 0x1000,
    max: 0xffff_fff8,
    hex: true,
    help: 'offset of the pending bits of MSI-X, in the same BAR; with bars only',
  },
  pasid_bits: {
    kind: 'integer',
    default: 0,
    max: 20,
    help: 'width of the PASID capability; 0 for none; PCIe only',
  },
  ats: { kind: 'boolean', default: false, help: 'address translation services; PCIe only' },
  pri: { kind: 'boolean', default: false, help: 'page requests; with ats only' },
  vfs: {
    kind: 'integer',
    default: 0,
    max: 64,
    help: 'virtual functions that can be switched on, with BARs and MSI-X as its own; PCIe only',
  },
  vf_device: {
    kind: 'integer',
    default: 0x0006,
    max: 0xffff,
    hex: true,
    help: 'device id of the virtual functions',
  },
  vf_offset: {
    kind: 'integer',
    default: 0x80,
    min: 1,
    max: 0xff,
    help: 'functions from the physical one to its first virtual one',
  },
  vf_stride: {
    kind: 'integer',
    default: 1,
    min: 1,
    max: 0xff,
    help: 'functions from one virtual function to the next',
  },
} as const;

export const generic: DeviceType = {
  type: 'generic',
  summary: 'a function without behaviour, for neighbours and virtual functions',
  options: OPTIONS,
  identity: identityOf,
  virtualIdentity: withVectors,
  migratable: true,
  create: (port, options) => new Generic(port, options),
};

/** Where the bytes of a BAR are: of one with plain pages the port has them, whatever their number. */
interface GenericState {
  /** Of other BARs, bytes that are not 0, by keyOf(). */
  readonly registers: ReadonlyMap<number, number>;
  /** By BAR, pages by their offset. */
  readonly memory: ReadonlyMap<number, ReadonlyMap<number, Uint8Array>>;
}

class Generic implements DeviceModel {
  readonly #registers = new Map<number, number>();
  /** By BAR. */
  readonly #memory: ReadonlyMap<number, BarMemory>;
  readonly #options: DeviceOptions;

  constructor(port: DevicePort, options: DeviceOptions) {
    this.#options = options;
    const plain = plainBars(options).filter(({ plain }) => plain.length > 0);
    this.#memory = new Map(plain.map(({ index }) => [index, port.barMemory(index)]));
  }
  powerOn(): void {
    this.reset();
  }
  reset(): void {
    this.#registers.clear();
    for (const memory of this.#memory.values()) memory.clear();
  }
  state(): GenericState {
    const memory = [...this.#memory].map(([bar, of]) => [bar, of.pages()] as const);
    return { registers: new Map(this.#registers), memory: new Map(memory) };
  }
  restore({ registers, memory }: GenericState): void {
    this.reset();
    for (const [key, byte] of registers) this.#registers.set(key, byte);
    for (const [bar, of] of this.#memory) of.fill(memory.get(bar) ?? new Map());
  }
  virtualFunction(_index: number, port: DevicePort): DeviceModel {
    return new Generic(port, this.#options);
  }
  mmioRead(bar: number, offset: number, width: number): bigint {
    const memory = this.#memory.get(bar);
    if (memory) return loadFrom(memory, offset, width);
    let value = 0n;
    for (let n = width - 1; n >= 0; n--) {
      value = (value << 8n) | BigInt(this.#registers.get(keyOf(bar, offset + n)) ?? 0);
    }
    return value;
  }
  mmioWrite(bar: number, offset: number, width: number, value: bigint): void {
    const memory = this.#memory.get(bar);
    if (memory) {
      storeTo(memory, offset, width, value);
      return;
    }
    for (let n = 0; n < width; n++) {
      const byte = Number((value >> BigInt(8 * n)) & 0xffn);
      if (byte === 0) this.#registers.delete(keyOf(bar, offset + n));
      else this.#registers.set(keyOf(bar, offset + n), byte);
    }
  }
}

/** A byte of a BAR without plain pages. */
function keyOf(bar: number, offset: number): number {
  return bar * 2 ** 36 + offset;
}

function identityOf(options: DeviceOptions): PciIdentity {
  const bars = plainBars(options);
  const memory = bars.filter(({ kind }) => kind !== 'io');
  return {
    vendor: Number(options['vendor']),
    device: Number(options['device']),
    revision: Number(options['revision']),
    classCode: Number(options['class']),
    subsystemVendor: Number(options['subsystem_vendor']),
    subsystem: Number(options['subsystem']),
    bars,
    interruptPin: Number(options['interrupt_pin']),
    powerManagement: true,
    msiVectors: Number(options['msi_vectors']),
    ...withVectors(options),
    ...(options['pcie'] && { pcie: { flr: Boolean(options['flr']), type: pcieKind(options) } }),
    pasidBits: Number(options['pasid_bits']),
    ats: Boolean(options['ats']),
    pri: Boolean(options['pri']),
    ...(options['vfs'] && {
      sriov: {
        totalVfs: Number(options['vfs']),
        firstOffset: Number(options['vf_offset']),
        stride: Number(options['vf_stride']),
        device: Number(options['vf_device']),
        bars: memory,
      },
    }),
  };
}

function pcieKind(options: DeviceOptions): PciePortType {
  const kinds = OPTIONS.pcie_kind.values;
  return kinds.find((kind) => kind === options['pcie_kind']) ?? 'endpoint';
}

function barsOf(options: DeviceOptions): BarSpec[] {
  const list = barList(String(options['bars']));
  if (list.length > 0) return list;
  const size = Number(options['bar_size']);
  return [
    ...(size > 0 ? [{ index: 0, size, kind: 'mem64' } as const] : []),
    ...(options['msix_vectors'] ? [{ index: 4, size: 0x2000, kind: 'mem32' } as const] : []),
  ];
}

/** All memory is plain but for the pages of MSI-X; what is smaller than a page cannot be. */
function plainBars(options: DeviceOptions): (BarSpec & { plain: readonly PageRange[] })[] {
  const { msix } = withVectors(options);
  return barsOf(options).map((bar) => ({
    ...bar,
    plain:
      bar.kind === 'io' ? [] : pagesWithout(bar.size, msix?.bar === bar.index ? msix : undefined),
  }));
}

/** Bytes of an entry of the MSI-X table. */
const MSIX_ENTRY = 16;
type Msix = NonNullable<VirtualIdentity['msix']>;

function pagesWithout(size: number, msix: Msix | undefined): PageRange[] {
  const taken = msix === undefined ? [] : msixPages(msix);
  const ranges: PageRange[] = [];
  let offset = 0;
  for (const { start, end } of [...taken, { start: size, end: size }]) {
    const length = Math.min(start, size) - offset;
    if (length >= BAR_PAGE) ranges.push({ offset, length });
    offset = Math.max(offset, end);
  }
  return ranges;
}
/** Of the table and of the pending bits, ascending. */
function msixPages({ vectors, tableOffset, pbaOffset }: Msix): { start: number; end: number }[] {
  const pages = [
    { at: tableOffset, bytes: vectors * MSIX_ENTRY },
    { at: pbaOffset, bytes: Math.ceil(vectors / 64) * 8 },
  ].map(({ at, bytes }) => ({
    start: Math.floor(at / BAR_PAGE) * BAR_PAGE,
    end: Math.ceil((at + bytes) / BAR_PAGE) * BAR_PAGE,
  }));
  return pages.toSorted((a, b) => a.start - b.start);
}

function withVectors(options: DeviceOptions): VirtualIdentity {
  const vectors = Number(options['msix_vectors']);
  if (vectors === 0) return {};
  if (options['bars'] === '') {
    return { msix: { vectors, bar: 4, tableOffset: 0, pbaOffset: OPTIONS.msix_pba.default } };
  }
  const bar = Number(options['msix_bar']);
  const tableOffset = Number(options['msix_table']);
  return { msix: { vectors, bar, tableOffset, pbaOffset: Number(options['msix_pba']) } };
}
