/**
 * A base address register: where it is decoded now, and the registers behind it as a window (vfio.md 2.11, 2.14; PCIe
 * 7.5.1.2.1, 9.3.3.14).
 */
import type { BarMemory, PageRange } from '../base/bar-memory.ts';
import type { MmioWindow } from '../base/file.ts';
import type { ConfigSpace } from './config-space.ts';
import type { BarSpec } from './identity.ts';

/** The register of a BAR, in configuration space at `at`. */
export class BarRegister {
  readonly #config: ConfigSpace;
  readonly #at: number;
  readonly #kind: BarSpec['kind'];

  constructor(config: ConfigSpace, at: number, kind: BarSpec['kind']) {
    this.#config = config;
    this.#at = at;
    this.#kind = kind;
  }
  /** Bus address now: what the register says. A double: BARs live below 2^52. */
  get address(): number {
    const low = this.#config.read(this.#at, 4);
    const high = this.#kind === 'mem64' ? this.#config.read(this.#at + 4, 4) : 0;
    return high * 2 ** 32 + ((low & (this.#kind === 'io' ? ~3 : ~15)) >>> 0);
  }
  /** As firmware does at power-on. */
  assign(address: number): void {
    this.#config.write(this.#at, 4, (address % 2 ** 32) | 0);
    if (this.#kind === 'mem64') this.#config.write(this.#at + 4, 4, Math.floor(address / 2 ** 32));
  }
}

/** One base address register; `size` in bytes, a power of two. */
export class PciBar {
  readonly index: number;
  readonly size: number;
  readonly kind: BarSpec['kind'];
  readonly prefetchable: boolean;
  readonly window: MmioWindow;
  /** Pages that programs may have as memory, ascending. */
  readonly plain: readonly PageRange[];
  /** Pages that programs may load as memory, ascending. */
  readonly shadow: readonly PageRange[];
  /** What is loaded from these and those; undefined: there are none. */
  readonly memory: BarMemory | undefined;
  readonly #register: BarRegister;
  readonly #offset: number;

  /** `place.offset`: of a virtual function, whose register is for all of them. */
  constructor(
    spec: BarSpec,
    place: { readonly register: BarRegister; readonly offset: number },
    made: {
      window(bar: PciBar): MmioWindow;
      memory(length: number): BarMemory;
    },
  ) {
    this.index = spec.index;
    this.size = spec.size;
    this.kind = spec.kind;
    this.prefetchable = spec.prefetchable ?? false;
    this.#register = place.register;
    this.#offset = place.offset;
    this.plain = ascending(spec.plain);
    this.shadow = ascending(spec.shadow);
    const isLent = this.plain.length > 0 || this.shadow.length > 0;
    this.memory = isLent ? made.memory(spec.size) : undefined;
    this.window = made.window(this);
  }
  get isIo(): boolean {
    return this.kind === 'io';
  }
  /** Bus address now. */
  get address(): number {
    return this.#register.address + this.#offset;
  }
  /** As firmware does at power-on. */
  assign(address: number): void {
    this.#register.assign(address - this.#offset);
  }
}

function ascending(ranges: readonly PageRange[] = []): readonly PageRange[] {
  return ranges.toSorted((a, b) => a.offset - b.offset);
}
