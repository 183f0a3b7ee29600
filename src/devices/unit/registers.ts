/**
 * Registers as a table: name, offset, width, access and value at power-on, written down once.
 *
 * A RegisterFile holds the values and answers plain loads and stores; what a store or a load sets going is a handler's.
 * So that state, reset, the names in events and the page of the device need no code of their own.
 *
 * Two kinds of hardware are there: one that answers accesses of the declared widths only, and one whose registers are
 * bytes that any access may cut or join (devices.md, rule 1).
 */
import type { BarMemory } from '../../base/bar-memory.ts';
import { bugOn } from '../../base/bug.ts';
import { RegisterShadow } from './register-shadow.ts';
import type { RegisterPlace, RegisterSpec, RegisterTable } from './register-table.ts';

export type {
  RegisterAccess,
  RegisterPlace,
  RegisterSpec,
  RegisterTable,
  RegisterWidth,
} from './register-table.ts';

/** Values by name; those of an array in its order. */
export type RegisterState = Readonly<Record<string, bigint | readonly bigint[]>>;

/** What a store does instead of changing the value: it is given what the value would become, and the element. */
export type StoreHandlers<T extends RegisterTable> = {
  readonly [K in keyof T]?: (value: bigint, index: number) => void;
};
/** What a load gives instead of the value, once for each access that touches the lowest byte. */
export type LoadHandlers<T extends RegisterTable> = {
  readonly [K in keyof T]?: (value: bigint, index: number) => bigint;
};

/** What kind of register file it is. */
export interface RegisterRules<T extends RegisterTable> {
  readonly loads?: LoadHandlers<T>;
  /** What a load reads where nothing is. Default ones, as on a bus that nobody answers. */
  readonly absent?: 'ones' | 'zeros';
  /** 'declared': other widths find nothing. 'bytes': any access, byte for byte. Default 'declared'. */
  readonly widths?: 'declared' | 'bytes';
  /** Memory of the BAR: the pages of shadowPages() there have what a load of them gives, at any time. */
  readonly shadow?: BarMemory;
}

/** One register of a table at one of its places. */
interface Cell {
  readonly name: string;
  readonly index: number;
  readonly start: number;
}

/** The registers of one BAR of one device, with their values. */
export class RegisterFile<T extends RegisterTable> {
  readonly #table: T;
  readonly #stores: StoreHandlers<T>;
  readonly #rules: RegisterRules<T>;
  readonly #values = new Map<string, bigint[]>();
  readonly #cells: ReadonlyMap<number, Cell>;
  readonly #shadow: RegisterShadow | undefined;

  constructor(table: T, stores: StoreHandlers<T> = {}, rules: RegisterRules<T> = {}) {
    this.#table = table;
    this.#stores = stores;
    this.#rules = rules;
    this.#cells = cellsOf(table);
    if (rules.shadow) checkShadow(table, rules);
    this.#shadow = rules.shadow && new RegisterShadow(table, rules.shadow, this.#absent(1) !== 0n);
    this.reset();
  }

  /** The value now; of an array, that of one element. */
  get(name: keyof T & string, index = 0): bigint {
    return this.#values.get(name)![index]!;
  }
  /** Bits beyond the register's width are cut. */
  set(name: keyof T & string, value: bigint, index = 0): void {
    const kept = value & onesOf(this.#table[name]!.width);
    const values = this.#values.get(name)!;
    if (values[index] === kept) return; // a shadow that programs have mapped is written by a call
    values[index] = kept;
    this.#shadow?.set(name, index, kept);
  }
  /** The register at exactly this offset; an element of an array by its number, as in 'irq[3]'. */
  nameAt(offset: number): string | undefined {
    const cell = this.#cells.get(offset);
    if (!cell || cell.start !== offset) return undefined;
    return this.#table[cell.name]!.count === undefined ? cell.name : `${cell.name}[${cell.index}]`;
  }

  /** What is read there: nothing (all ones, or zeros) where no register is, or none that answers such an access. */
  load(offset: number, width: number): bigint {
    if (this.#rules.widths === 'bytes') return this.#loadBytes(offset, width);
    const cell = this.#answering(offset, width);
    return cell ? this.#loaded(cell, true) & onesOf(width) : this.#absent(width);
  }
  /** Ignored where no register is, where it cannot be written, or none that answers such an access. */
  store(offset: number, width: number, value: bigint): void {
    if (this.#rules.widths === 'bytes') {
      this.#storeBytes(offset, width, value);
      return;
    }
    const cell = this.#answering(offset, width);
    if (cell) this.#stored(cell, value, onesOf(this.#table[cell.name]!.width), true);
  }

  /** Values of power-on; of these registers only, if any are named. */
  reset(names: readonly (keyof T & string)[] = namesOf(this.#table)): void {
    for (const name of names) {
      const spec = this.#table[name]!;
      const { count: length = 1 } = spec;
      const values = Array.from({ length }, (_, index) => powerOnValue(spec, index));
      this.#values.set(name, values);
      for (const [index, value] of values.entries()) this.#shadow?.set(name, index, value);
    }
  }
  /** A copy of the values. */
  state(): RegisterState {
    return Object.fromEntries(
      [...this.#values].map(([name, values]) => [
        name,
        this.#table[name]!.count === undefined ? values[0]! : [...values],
      ]),
    );
  }
  /** Values of state(); registers that are not among them have their value of power-on. */
  restore(state: RegisterState): void {
    this.reset();
    for (const name of namesOf(this.#table)) {
      const values = state[name];
      if (values === undefined) continue;
      [values].flat().forEach((value, index) => this.set(name, value, index));
    }
  }

  #answering(offset: number, width: number): Cell | undefined {
    const cell = this.#cells.get(offset);
    if (!cell || cell.start !== offset) return undefined;
    const spec = this.#table[cell.name]!;
    return spec.width === width || spec.narrow?.some((narrow) => narrow === width)
      ? cell
      : undefined;
  }
  #absent(width: number): bigint {
    return this.#rules.absent === 'zeros' ? 0n : onesOf(width);
  }

  #loadBytes(offset: number, width: number): bigint {
    let value = 0n;
    for (const { cell, at, first, bytes } of this.#parts(offset, width)) {
      const whole = cell ? this.#loaded(cell, first === 0) : this.#absent(bytes);
      value |= ((whole >> BigInt(8 * first)) & onesOf(bytes)) << BigInt(8 * at);
    }
    return value;
  }
  #storeBytes(offset: number, width: number, value: bigint): void {
    for (const { cell, at, first, bytes } of this.#parts(offset, width)) {
      if (!cell) continue;
      const shift = BigInt(8 * first);
      const part = (value >> BigInt(8 * at)) & onesOf(bytes);
      this.#stored(cell, part << shift, onesOf(bytes) << shift, first === 0);
    }
  }
  /** The registers an access touches, lowest first: which bytes of the access, and which of the register. */
  *#parts(
    offset: number,
    width: number,
  ): Generator<{ cell: Cell | undefined; at: number; first: number; bytes: number }> {
    for (let at = 0; at < width;) {
      const cell = this.#cells.get(offset + at);
      const first = cell ? offset + at - cell.start : 0;
      const bytes = cell ? Math.min(width - at, this.#table[cell.name]!.width - first) : 1;
      yield { cell, at, first, bytes };
      at += bytes;
    }
  }

  #loaded({ name, index }: Cell, touched: boolean): bigint {
    const { access, width } = this.#table[name]!;
    if (access === 'wo') return this.#absent(width);
    const value = this.get(name, index);
    if (!touched) return value;
    const handler = this.#rules.loads?.[name];
    if (handler) return handler(value, index);
    if (access === 'rc') this.set(name, 0n, index);
    return value;
  }
  /** `written` are the bits the access covers; the value has no others. */
  #stored({ name, index }: Cell, value: bigint, written: bigint, touched: boolean): void {
    const spec = this.#table[name]!;
    const next = storedValue(spec, this.get(name, index), value, written);
    const handler = this.#stores[name];
    if (handler && spec.access !== 'ro' && (touched || spec.acts === 'any')) handler(next, index);
    else this.set(name, next, index);
  }
}

/** Memory answers any width, and runs nothing. */
function checkShadow<T extends RegisterTable>(
  table: T,
  { widths, loads = {} }: RegisterRules<T>,
): void {
  bugOn(widths !== 'bytes', 'shadow registers answer any width');
  const handled = Object.keys(loads).find((name) => table[name]?.shadow);
  bugOn(handled !== undefined, `a load of the shadow register ${handled} is handled`);
}

/** What a store makes of a value, without a handler. */
function storedValue(spec: RegisterSpec, old: bigint, value: bigint, written: bigint): bigint {
  const bits = written & (spec.writable === undefined ? written : BigInt(spec.writable));
  switch (spec.access) {
    case 'ro':
    case 'rc':
      return old;
    case 'w1c':
      return old & ~(value & bits);
    case 'w1s':
      return old | (value & bits);
    case 'rw':
    case 'wo':
      return (old & ~bits) | (value & bits);
  }
}

/** The declared value of a register, or of one element of an array. */
export function powerOnValue({ reset = 0, width }: RegisterSpec, index = 0): bigint {
  const value = typeof reset === 'object' ? (reset[index] ?? reset.at(-1) ?? 0) : reset;
  return BigInt(value) & onesOf(width);
}

/** Offsets by name, for whoever drives the device. */
export function offsetsOf<const T extends RegisterTable>(
  table: T,
): { readonly [K in keyof T]: T[K]['offset'] };
export function offsetsOf(table: RegisterTable): Record<string, number> {
  return Object.fromEntries(Object.entries(table).map(([name, { offset }]) => [name, offset]));
}

/** Devices of a type share what does not change. */
const CELLS = new WeakMap<RegisterTable, ReadonlyMap<number, Cell>>();

/** By every byte that belongs to a register. Where two claim one, the first of the table has it. */
function cellsOf(table: RegisterTable): ReadonlyMap<number, Cell> {
  const known = CELLS.get(table);
  if (known) return known;
  const cells = new Map<number, Cell>();
  for (const [name, spec] of Object.entries(table)) {
    for (const place of [spec, ...(spec.also ?? [])]) placeCells(cells, name, spec, place);
  }
  CELLS.set(table, cells);
  return cells;
}
function placeCells(
  cells: Map<number, Cell>,
  name: string,
  { width, count }: RegisterSpec,
  place: RegisterPlace,
): void {
  const many = place.count ?? count ?? 1;
  for (let index = 0; index < many; index++) {
    const start = place.offset + index * (place.stride ?? width);
    for (let at = start; at < start + width; at++) {
      if (!cells.has(at)) cells.set(at, { name, index, start });
    }
  }
}

function namesOf<T extends RegisterTable>(table: T): (keyof T & string)[] {
  return Object.keys(table);
}

function onesOf(width: number): bigint {
  return (1n << BigInt(8 * width)) - 1n;
}
