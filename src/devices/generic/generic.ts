/**
 * A function without behaviour: ids, BARs that hold what is written, capabilities as asked for. It fills places in a
 * topology: neighbours, virtual functions, devices whose registers do not matter.
 *
 * NOT IMPLEMENTED: it does no DMA and raises no interrupt.
 */
import type {
  BarSpec,
  DeviceModel,
  DeviceOptions,
  DeviceType,
  PciIdentity,
  VirtualIdentity,
} from '../port.ts';

/** As many entries of 16 bytes as there are before the pending bits. */
const PENDING_BITS = 0x1000;
const MSIX_VECTORS = PENDING_BITS / 16;

/** Where its virtual functions stand, and their device id. */
const VFS = { firstOffset: 0x80, stride: 1 };
const VF_DEVICE = 0x0006;

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
    help: 'bytes of BAR 0, 64-bit memory, a power of two; 0 for none',
  },
  pcie: {
    kind: 'boolean',
    default: true,
    help: 'a PCIe endpoint with function-level reset, or conventional PCI',
  },
  msix_vectors: {
    kind: 'integer',
    default: 4,
    max: MSIX_VECTORS,
    help: 'MSI-X vectors, their table in BAR 4; 0 for none',
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
} as const;

export const generic: DeviceType = {
  type: 'generic',
  summary: 'a function without behaviour, for neighbours and virtual functions',
  options: OPTIONS,
  identity: identityOf,
  virtualIdentity: (options) => withVectors(Number(options['msix_vectors'])),
  create: () => new Generic(),
};

class Generic implements DeviceModel {
  /** Bytes that are not 0, by offset: a BAR may be far larger than what is ever written to it. */
  readonly #registers = new Map<number, number>();

  powerOn(): void {
    this.#registers.clear();
  }
  reset(): void {
    this.#registers.clear();
  }
  state(): ReadonlyMap<number, number> {
    return new Map(this.#registers);
  }
  restore(state: ReadonlyMap<number, number>): void {
    this.#registers.clear();
    for (const [offset, byte] of state) this.#registers.set(offset, byte);
  }
  virtualFunction(): DeviceModel {
    return new Generic();
  }
  mmioRead(_bar: number, offset: number, width: number): bigint {
    let value = 0n;
    for (let n = width - 1; n >= 0; n--) {
      value = (value << 8n) | BigInt(this.#registers.get(offset + n) ?? 0);
    }
    return value;
  }
  mmioWrite(_bar: number, offset: number, width: number, value: bigint): void {
    for (let n = 0; n < width; n++) {
      this.#registers.set(offset + n, Number((value >> BigInt(8 * n)) & 0xffn));
    }
  }
}

function identityOf(options: DeviceOptions): PciIdentity {
  const vectors = Number(options['msix_vectors']);
  const bars: BarSpec[] = [];
  if (options['bar_size'])
    bars.push({ index: 0, size: Number(options['bar_size']), kind: 'mem64' });
  if (vectors > 0) bars.push({ index: 4, size: 0x2000, kind: 'mem32' });
  return {
    vendor: Number(options['vendor']),
    device: Number(options['device']),
    revision: Number(options['revision']),
    classCode: Number(options['class']),
    bars,
    interruptPin: 0,
    powerManagement: true,
    ...withVectors(vectors),
    ...(options['pcie'] && { pcie: { flr: true, type: 'endpoint' as const } }),
    pasidBits: Number(options['pasid_bits']),
    ats: Boolean(options['ats']),
    pri: Boolean(options['pri']),
    ...(options['vfs'] && {
      sriov: { totalVfs: Number(options['vfs']), ...VFS, device: VF_DEVICE, bars },
    }),
  };
}
function withVectors(vectors: number): VirtualIdentity {
  return vectors > 0 ? { msix: { vectors, bar: 4, tableOffset: 0, pbaOffset: PENDING_BITS } } : {};
}
