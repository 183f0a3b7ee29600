/**
 * What answers behind a BAR: the MSI-X table where it lies, the registers of the device elsewhere, and nobody while decoding is
 * off (PCIe 7.5.1.1). Each access is an event.
 */
import type { Doorbells, MmioWindow } from '../base/file.ts';
import type { KernelEnv } from '../base/kernel-env.ts';
import type { Ref } from '../base/refs.ts';
import type { PciBar } from './bar.ts';
import type { PciRegisters } from './identity.ts';
import type { MsixTable } from './msix.ts';

/** Bytes of the widest store. */
const LINE = 64;

/** The function a BAR belongs to, as its window sees it. */
export interface WindowOwner {
  readonly env: KernelEnv;
  readonly name: string;
  readonly ref: Ref;
  readonly ioEnabled: boolean;
  readonly memoryEnabled: boolean;
  readonly msix: MsixTable | undefined;
}

/** The addresses of one BAR. */
export class BarWindow implements MmioWindow {
  readonly #owner: WindowOwner;
  readonly #bar: PciBar;
  readonly #registers: () => PciRegisters | undefined;

  /** `registers`: asked at every access, because a device is made with a port of its function. */
  constructor(owner: WindowOwner, bar: PciBar, registers: () => PciRegisters | undefined) {
    this.#owner = owner;
    this.#bar = bar;
    this.#registers = registers;
  }
  get name(): string {
    return `${this.#owner.name} BAR ${this.#bar.index}`;
  }
  get length(): number {
    return this.#bar.size;
  }
  get pfn(): number {
    return Math.floor(this.#bar.address / 4096);
  }
  get doorbells(): Doorbells | undefined {
    return this.#registers()?.doorbells?.(this.#bar.index);
  }
  accessible(): boolean {
    return this.#bar.isIo ? this.#owner.ioEnabled : this.#owner.memoryEnabled;
  }

  /** All ones where nothing answers. */
  load(offset: number, width: number): bigint {
    const ones = (1n << BigInt(8 * width)) - 1n;
    if (!this.#answers(offset, width)) return ones;
    const { index } = this.#bar;
    const { msix } = this.#owner;
    const value = msix?.covers(index, offset)
      ? msix.load(offset, width)
      : (this.#registers()?.mmioRead(index, offset, width) ?? ones);
    if (this.#owner.env.trace.on) this.#tell({ offset, width, value, write: false });
    return value & ones;
  }
  store(offset: number, width: number, value: bigint): void {
    if (!this.#answers(offset, width)) return;
    const { trace } = this.#owner.env;
    const write = (): void => this.#store(offset, width, value);
    if (!trace.hears.store) write();
    else trace.because(this.#tell({ offset, width, value, write: true }), write);
  }

  #answers(offset: number, width: number): boolean {
    return this.accessible() && offset + width <= this.#bar.size;
  }
  #store(offset: number, width: number, value: bigint): void {
    const { index } = this.#bar;
    const { msix } = this.#owner;
    if (msix?.covers(index, offset)) msix.store(offset, width, value);
    else if (width === LINE) this.#storeLine(offset, value);
    else this.#registers()?.mmioWrite(index, offset, width, value);
  }
  #storeLine(offset: number, value: bigint): void {
    const registers = this.#registers();
    const { index } = this.#bar;
    if (registers?.mmioWrite64) {
      const bytes = new Uint8Array(LINE);
      const view = new DataView(bytes.buffer);
      for (let at = 0; at < LINE; at += 8) view.setBigUint64(at, wordAt(value, at), true);
      registers.mmioWrite64(index, offset, bytes);
      return;
    }
    for (let at = 0; at < LINE; at += 8) {
      registers?.mmioWrite(index, offset + at, 8, wordAt(value, at));
    }
  }
  #tell(access: {
    readonly offset: number;
    readonly width: number;
    readonly value: bigint;
    readonly write: boolean;
  }): number | undefined {
    const { env, ref } = this.#owner;
    const { index } = this.#bar;
    const register = this.#registers()?.registerName?.(index, access.offset);
    return env.trace.emit({
      kind: 'mmio',
      device: ref,
      region: index,
      ...(register !== undefined && { register }),
      ...access,
    });
  }
}

function wordAt(line: bigint, at: number): bigint {
  return BigInt.asUintN(64, line >> BigInt(8 * at));
}
