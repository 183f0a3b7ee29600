/**
 * Registers as a table: name, offset, width, access and value at power-on, written down once.
 *
 * A RegisterFile holds the values and answers plain loads and stores; what a store sets going is a handler's. So that
 * state, reset and the names in events need no code of their own.
 */

/** Bytes of one access. */
export type RegisterWidth = 1 | 2 | 4 | 8;

/** One register. */
export interface RegisterSpec {
  /** From the beginning of its BAR, in bytes. */
  readonly offset: number;
  readonly width: RegisterWidth;
  /** Narrower accesses it answers besides those of its width, all at its offset. */
  readonly narrow?: readonly RegisterWidth[];
  /** 'ro': stores are ignored; 'wo': loads read all ones. */
  readonly access: 'ro' | 'wo' | 'rw';
  /** Value at power-on. Default 0. */
  readonly reset?: number | bigint;
  readonly help: string;
}

/** The registers of one BAR by name. */
export type RegisterTable = Readonly<Record<string, RegisterSpec>>;

/** Values by name. */
export type RegisterValues<T extends RegisterTable> = Readonly<Record<keyof T & string, bigint>>;

/** What a store does instead of replacing the value. */
export type StoreHandlers<T extends RegisterTable> = {
  readonly [K in keyof T]?: (value: bigint) => void;
};

/** The registers of one BAR of one device, with their values. */
export class RegisterFile<T extends RegisterTable> {
  readonly #table: T;
  readonly #handlers: StoreHandlers<T>;
  readonly #values = new Map<string, bigint>();
  readonly #byOffset = new Map<number, keyof T & string>();

  constructor(table: T, handlers: StoreHandlers<T> = {}) {
    this.#table = table;
    this.#handlers = handlers;
    for (const name of namesOf(table)) this.#byOffset.set(table[name]!.offset, name);
    this.reset();
  }

  /** The value now. */
  get(name: keyof T & string): bigint {
    return this.#values.get(name)!;
  }
  /** Bits beyond the register's width are cut. */
  set(name: keyof T & string, value: bigint): void {
    this.#values.set(name, value & onesOf(this.#table[name]!.width));
  }
  /** The register at exactly this offset. */
  nameAt(offset: number): (keyof T & string) | undefined {
    return this.#byOffset.get(offset);
  }

  /** All ones where no register is, where it cannot be read, or not with this width. */
  load(offset: number, width: number): bigint {
    const name = this.#answering(offset, width);
    const ones = onesOf(width);
    if (name === undefined || this.#table[name]!.access === 'wo') return ones;
    return this.get(name) & ones;
  }
  /** Ignored where no register is, where it cannot be written, or not with this width. */
  store(offset: number, width: number, value: bigint): void {
    const name = this.#answering(offset, width);
    if (name === undefined || this.#table[name]!.access === 'ro') return;
    const handler = this.#handlers[name];
    if (handler) handler(value);
    else this.set(name, value);
  }

  /** Values of power-on. */
  reset(): void {
    for (const name of namesOf(this.#table)) this.set(name, BigInt(this.#table[name]!.reset ?? 0));
  }
  /** A copy of the values. */
  state(): Readonly<Record<string, bigint>> {
    return Object.fromEntries(this.#values);
  }
  /** Values of state(); registers that are not among them become 0. */
  restore(values: Readonly<Record<string, bigint>>): void {
    for (const name of namesOf(this.#table)) this.set(name, values[name] ?? 0n);
  }

  #answering(offset: number, width: number): (keyof T & string) | undefined {
    const name = this.#byOffset.get(offset);
    if (name === undefined) return undefined;
    const spec = this.#table[name]!;
    const fits = spec.width === width || spec.narrow?.some((narrow) => narrow === width);
    return fits ? name : undefined;
  }
}

/** Offsets by name, for whoever drives the device. */
export function offsetsOf<const T extends RegisterTable>(
  table: T,
): { readonly [K in keyof T]: T[K]['offset'] };
export function offsetsOf(table: RegisterTable): Record<string, number> {
  return Object.fromEntries(Object.entries(table).map(([name, { offset }]) => [name, offset]));
}

function namesOf<T extends RegisterTable>(table: T): (keyof T & string)[] {
  return Object.keys(table);
}

function onesOf(width: number): bigint {
  return (1n << BigInt(8 * width)) - 1n;
}
