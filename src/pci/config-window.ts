/**
 * A vendor-specific capability that is a window to the BARs, for software that has configuration space only (virtio 1.2,
 * 4.1.4.9): it says which BAR, where and how many bytes, and then reads or writes the data.
 *
 * What cannot be such an access does nothing, and the data stays as it is.
 */
import type { MmioWindow } from '../base/file.ts';

/** Fields of the capability; data follows it. */
export const WINDOW = { type: 3, bar: 4, offset: 8, length: 12, data: 16, end: 20 } as const;
const WIDTHS = [1, 2, 4];

/** The configuration space it is in (config-space.ts). */
interface WindowSpace {
  read(offset: number, width: number): number;
  force(offset: number, width: 1, value: number): void;
}

/** The window of one function. */
export class ConfigWindow {
  readonly #config: WindowSpace;
  readonly #at: number;
  readonly #bar: (index: number) => MmioWindow | undefined;

  /** `at`: of the capability. */
  constructor(config: WindowSpace, at: number, bar: (index: number) => MmioWindow | undefined) {
    this.#config = config;
    this.#at = at;
    this.#bar = bar;
  }
  /** Software reads these bytes: what it will find in the data is what the BAR has. */
  beforeRead(offset: number, width: number): void {
    const access = this.#access(offset, width);
    if (!access) return;
    const value = Number(access.bar.load(access.at, access.width));
    for (let n = 0; n < access.width; n++)
      this.#config.force(this.#at + WINDOW.data + n, 1, value >>> (8 * n));
  }
  /** Software has written these bytes: the BAR gets what is in the data. */
  afterWrite(offset: number, width: number): void {
    const access = this.#access(offset, width);
    if (!access) return;
    const value = this.#config.read(this.#at + WINDOW.data, access.width);
    access.bar.store(access.at, access.width, BigInt(value));
  }

  #access(offset: number, touched: number) {
    const data = this.#at + WINDOW.data;
    if (offset >= data + 4 || offset + touched <= data) return undefined;
    const field = (at: number): number => this.#config.read(this.#at + at, 4);
    const [at, width] = [field(WINDOW.offset), field(WINDOW.length)];
    const bar = this.#bar(this.#config.read(this.#at + WINDOW.bar, 1));
    return bar && WIDTHS.includes(width) && at % width === 0 ? { bar, at, width } : undefined;
  }
}
