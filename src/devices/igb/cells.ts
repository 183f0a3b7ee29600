/** The values of the registers as numbers, and who acts when one is stored to or loaded. */
import {
  powerOnValue,
  RegisterFile,
  type LoadHandlers,
  type RegisterState,
  type StoreHandlers,
} from '../unit/registers.ts';
import { IGB_REGISTERS, KEPT_BY_RESET, type IgbRegister } from './registers.ts';

type Table = typeof IGB_REGISTERS;
/** What a store does, given the value the register would get and the element. */
type Store = (value: number, index: number) => void;
/** What a load gives. */
type Load = (value: number, index: number) => number;
/** Handlers of one part of the device. */
export interface Actions {
  readonly stores?: { readonly [K in IgbRegister]?: Store };
  readonly loads?: { readonly [K in IgbRegister]?: Load };
}

/** All registers of one 82576. */
export class Cells {
  readonly #stores: { -readonly [K in keyof StoreHandlers<Table>]: StoreHandlers<Table>[K] } = {};
  readonly #loads: { -readonly [K in keyof LoadHandlers<Table>]: LoadHandlers<Table>[K] } = {};
  readonly file: RegisterFile<Table> = new RegisterFile(IGB_REGISTERS, this.#stores, {
    loads: this.#loads,
    absent: 'zeros',
    widths: 'bytes',
  });

  /** From now on these act too. */
  act({ stores = {}, loads = {} }: Actions): void {
    for (const name of namesIn(stores)) {
      const run = stores[name];
      if (run) this.#stores[name] = (value, index) => run(Number(value), index);
    }
    for (const name of namesIn(loads)) {
      const run = loads[name];
      if (run) this.#loads[name] = (value, index) => BigInt(run(Number(value), index) >>> 0);
    }
  }
  /** 32 bits, unsigned. */
  get(name: IgbRegister, index = 0): number {
    return Number(this.file.get(name, index));
  }
  /** Bits beyond 32 are cut. */
  set(name: IgbRegister, value: number, index = 0): void {
    this.file.set(name, BigInt(value >>> 0), index);
  }
  has(name: IgbRegister, bits: number, index = 0): boolean {
    return (this.get(name, index) & bits) !== 0;
  }
  /** Values of power-on; those that CTRL.RST keeps only if they are meant too. */
  reset(all: boolean): void {
    if (all) this.file.reset();
    else this.file.reset(namesIn(IGB_REGISTERS).filter((name) => !KEPT_BY_RESET.has(name)));
  }
  /** One element of these has its value of power-on again. */
  resetElement(names: readonly IgbRegister[], index: number): void {
    for (const name of names)
      this.set(name, Number(powerOnValue(IGB_REGISTERS[name], index)), index);
  }
  state(): RegisterState {
    return this.file.state();
  }
  restore(state: RegisterState): void {
    this.file.restore(state);
  }
}

function namesIn(table: object): IgbRegister[] {
  return Object.keys(table).filter((name) => isRegister(name));
}
function isRegister(name: string): name is IgbRegister {
  return Object.hasOwn(IGB_REGISTERS, name);
}
