/**
 * Registers as memory that programs load: which pages of a BAR can be so, and what they hold.
 *
 * A load there never reaches the device. So a page qualifies when each register in it says that a load of it does nothing
 * besides (RegisterSpec.shadow); it holds, byte for byte, what the device would have answered.
 */
import { BAR_PAGE, type BarMemory, type PageRange } from '../../base/bar-memory.ts';
import { bugOn } from '../../base/bug.ts';
import type { RegisterPlace, RegisterSpec, RegisterTable } from './register-table.ts';

/** Pages with registers all of which are `shadow`, ascending. */
export function shadowPages(table: RegisterTable): PageRange[] {
  const pages = new Map<number, boolean>();
  for (const spec of Object.values(table)) {
    for (const offset of placesOf(spec)) {
      const first = Math.floor(offset / BAR_PAGE);
      const last = Math.floor((offset + spec.width - 1) / BAR_PAGE);
      for (const page of [first, last]) {
        pages.set(page, spec.shadow === true && pages.get(page) !== false);
      }
    }
  }
  const whole = [...pages].filter(([, isShadow]) => isShadow).map(([page]) => page);
  return whole
    .toSorted((a, b) => a - b)
    .map((page) => ({ offset: page * BAR_PAGE, length: BAR_PAGE }));
}

/** What the shadow pages of a register file hold. */
export class RegisterShadow {
  readonly #memory: BarMemory;
  /** By name: where each element of it is. */
  readonly #places = new Map<string, readonly (readonly number[])[]>();
  readonly #table: RegisterTable;

  /** `absentOnes`: what a load gives where nothing is. */
  constructor(table: RegisterTable, memory: BarMemory, absentOnes: boolean) {
    this.#table = table;
    this.#memory = memory;
    const pages = shadowPages(table);
    const nothing = new Uint8Array(BAR_PAGE).fill(absentOnes ? 0xff : 0);
    for (const { offset } of pages) memory.write(offset, nothing);
    for (const [name, spec] of Object.entries(table)) {
      const inPages = (at: number): boolean =>
        pages.some(({ offset, length }) => at >= offset && at < offset + length);
      if (spec.access === 'wo' || !placesOf(spec).some(inPages)) continue;
      bugOn(spec.access === 'rc', `${name}: a load clears it`);
      this.#places.set(
        name,
        Array.from({ length: spec.count ?? 1 }, (_, index) =>
          placesOf(spec, index).filter(inPages),
        ),
      );
    }
  }
  /** It has this value from now on. */
  set(name: string, index: number, value: bigint): void {
    const places = this.#places.get(name)?.[index];
    if (!places) return;
    const bytes = new Uint8Array(8);
    new DataView(bytes.buffer).setBigUint64(0, value, true);
    for (const at of places) this.#memory.write(at, bytes.subarray(0, this.#table[name]!.width));
  }
}

/** Where a register is, at all its places; of an array all elements, or one. */
function placesOf(spec: RegisterSpec, element?: number): number[] {
  const places: readonly RegisterPlace[] = [spec, ...(spec.also ?? [])];
  return places.flatMap(({ offset, count = spec.count ?? 1, stride = spec.width }) =>
    Array.from({ length: count }, (_, index) => index)
      .filter((index) => element === undefined || index === element)
      .map((index) => offset + index * stride),
  );
}
