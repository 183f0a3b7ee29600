/**
 * The PHY behind MDIC (devices.md 1.4): address 1, 32 registers, every page alike.
 *
 * Negotiation takes no time: the link is up as soon as both ends are alive.
 */
import type { Actions, Cells } from './cells.ts';

const ADDRESS = 1;
const MDIC = {
  REGISTER: 0x1f << 16,
  PHY: 0x1f << 21,
  WRITE: 1 << 26,
  READ: 1 << 27,
  READY: 1 << 28,
  INTERRUPT: 1 << 29,
  ERROR: 1 << 30,
} as const;
const BMCR = {
  RESET: 1 << 15,
  LOOPBACK: 1 << 14,
  POWER_DOWN: 1 << 11,
  ISOLATE: 1 << 10,
  RESTART: 1 << 9,
} as const;
const BMSR_UP = 0x24;

const REGISTERS = 32;
const RESETS: Readonly<Record<number, number>> = {
  0: 0x1140,
  1: 0x7949,
  2: 0x02a8,
  3: 0x0391,
  4: 0x0de1,
  5: 0x45e1,
  6: 5,
  9: 0x0f00,
  0xa: 0x3c00,
  0xf: 0x3000,
  0x11: 0xc000,
};
/** Those that software can store to. */
const WRITABLE: ReadonlySet<number> = new Set([0, 4, 9, 0x10, 0x12, 0x13, 0x19, 0x1f]);

/** What the PHY tells the device. */
export interface PhyEvents {
  isLinkUp(): boolean;
  /** Something that decides about the link may have changed. */
  changed(): void;
  /** An access has ended that was to interrupt. */
  accessed(): void;
}

export class Phy {
  readonly #registers = new Uint16Array(REGISTERS);
  readonly #events: PhyEvents;
  readonly actions: Actions;

  constructor(cells: Cells, events: PhyEvents) {
    this.#events = events;
    this.actions = {
      stores: {
        mdic: (value) => {
          cells.set('mdic', this.#access(value));
          if ((value & MDIC.INTERRUPT) !== 0) events.accessed();
        },
      },
    };
    this.reset();
  }

  /** Is it alive on the wire? */
  get isOn(): boolean {
    return (this.#registers[0]! & (BMCR.POWER_DOWN | BMCR.ISOLATE)) === 0;
  }
  /** Frames come back from here, whatever the wire does. */
  get loopback(): boolean {
    return (this.#registers[0]! & BMCR.LOOPBACK) !== 0;
  }
  reset(): void {
    this.#registers.fill(0);
    for (const [at, value] of Object.entries(RESETS)) this.#registers[Number(at)] = value;
  }
  state(): Uint16Array {
    return this.#registers.slice();
  }
  restore(state: Uint16Array): void {
    this.#registers.set(state);
  }

  #access(command: number): number {
    const asked = command & (MDIC.REGISTER | MDIC.PHY | MDIC.WRITE | MDIC.READ | MDIC.INTERRUPT);
    const register = (command & MDIC.REGISTER) >>> 16;
    const read = (command & MDIC.READ) !== 0;
    if ((command & MDIC.PHY) >>> 21 !== ADDRESS || read === ((command & MDIC.WRITE) !== 0)) {
      return asked | MDIC.READY | MDIC.ERROR;
    }
    if (read) return asked | MDIC.READY | this.#read(register);
    this.#write(register, command & 0xffff);
    return asked | MDIC.READY | (command & 0xffff);
  }
  #read(register: number): number {
    const value = this.#registers[register]!;
    return register === 1 && this.#events.isLinkUp() ? value | BMSR_UP : value;
  }
  #write(register: number, value: number): void {
    if (!WRITABLE.has(register)) return;
    this.#registers[register] = value;
    if (register !== 0) return;
    if ((value & BMCR.RESET) !== 0) this.reset();
    else this.#registers[0] = value & ~BMCR.RESTART;
    this.#events.changed();
  }
}
