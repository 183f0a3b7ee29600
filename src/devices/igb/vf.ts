/**
 * A virtual function of the 82576 (devices.md 1.9): 8086:10ca. Its queues and vectors are cells of the physical function,
 * seen through a BAR of its own; so is its mailbox. Its counters are its own, and are not cleared by a load.
 */
import type { DeviceModel, DevicePort } from '../port.ts';
import { RegisterFile, type RegisterState, type RegisterTable } from '../unit/registers.ts';
import type { Cells } from './cells.ts';
import type { Interrupts } from './interrupts.ts';
import type { Mailboxes } from './mailbox.ts';
import { CTRL, MAILBOX_WORDS, QUEUE_ON, type IgbRegister } from './registers.ts';
import { FCS, isMulticast } from './statistics.ts';
import type { Transmit } from './transmit.ts';
import { firstVector, VF_VECTORS } from './virtual.ts';

const reg = (offset: number, access: 'rw' | 'ro' | 'wo', help: string) =>
  ({ offset, width: 4, access, help }) as const;

/** BAR 0, besides its queues at 0x2800 (receive) and 0x3800 (transmit), and its mailbox at 0x800. */
export const VF_REGISTERS = {
  vtctrl: reg(0x0000, 'rw', '26: reset'),
  vtstatus: reg(0x0008, 'ro', 'STATUS of the physical function'),
  v2pMailbox: reg(0x0c40, 'rw', 'mailbox'),
  vfgprc: reg(0x0f10, 'ro', 'frames received'),
  vfgptc: reg(0x0f14, 'ro', 'frames sent'),
  vfgorc: reg(0x0f18, 'ro', 'octets received'),
  vfgotc: reg(0x0f34, 'ro', 'octets sent'),
  vfmprc: reg(0x0f3c, 'ro', 'multicast frames received'),
  vfgprlbc: reg(0x0f40, 'ro', 'frames received from other functions'),
  vfgptlbc: reg(0x0f44, 'ro', 'frames sent to other functions'),
  vfgorlbc: reg(0x0f48, 'ro', 'octets received from other functions'),
  vfgotlbc: reg(0x0f50, 'ro', 'octets sent to other functions'),
  vtfrtimer: reg(0x1048, 'ro', 'microseconds'),
  vteics: reg(0x1520, 'wo', 'sets vectors'),
  vteims: reg(0x1524, 'rw', 'vectors that are sent'),
  vteimc: reg(0x1528, 'wo', 'takes vectors out of VTEIMS'),
  vteiac: reg(0x152c, 'rw', 'cleared when sent'),
  vteiam: reg(0x1530, 'rw', 'masked when sent'),
  vteicr: reg(0x1580, 'rw', 'vectors that wait'),
  vteitr: { ...reg(0x1680, 'rw', 'throttling of a vector, no effect'), count: 3 },
  vtivar: reg(0x1700, 'rw', 'vectors of its queues'),
  vtivarMisc: reg(0x1740, 'rw', '1:0 vector of the mailbox, 7 valid'),
} as const satisfies RegisterTable;
type Counter = 'vfgprc' | 'vfgptc' | 'vfgprlbc' | 'vfgptlbc';
const OCTETS = {
  vfgprc: 'vfgorc',
  vfgptc: 'vfgotc',
  vfgprlbc: 'vfgorlbc',
  vfgptlbc: 'vfgotlbc',
} as const;

const RECEIVE: readonly IgbRegister[] = [
  ...(['rdbal', 'rdbah', 'rdlen', 'srrctl', 'rdh', 'rxdca', 'rdt', 'rxdctl'] as const),
];
const TRANSMIT: readonly IgbRegister[] = [
  ...(['tdbal', 'tdbah', 'tdlen', 'tdh', 'txdca', 'tdt', 'txdctl', 'tdwbal', 'tdwbah'] as const),
];
const VECTORS = (1 << VF_VECTORS) - 1;
const VALID = 0x80;

/** What of the physical function it is a part of. */
export interface VfParts {
  readonly index: number;
  readonly port: DevicePort;
  readonly cells: Cells;
  readonly interrupts: Interrupts;
  readonly mailboxes: Mailboxes;
  readonly transmit: Transmit;
}

export class IgbVf implements DeviceModel {
  readonly #parts: VfParts;
  readonly #shift: number;
  readonly #registers: RegisterFile<typeof VF_REGISTERS>;

  constructor(parts: VfParts) {
    const { cells, interrupts, mailboxes, index } = parts;
    this.#parts = parts;
    this.#shift = firstVector(index);
    const bitsOf = (name: 'eims' | 'eiac' | 'eiam' | 'eicr') => (): bigint =>
      BigInt((cells.get(name) >>> this.#shift) & VECTORS);
    const replace = (name: 'eiac' | 'eiam') => (value: bigint) => {
      interrupts.setVectors(name, VECTORS << this.#shift, false);
      interrupts.setVectors(name, this.#bits(value), true);
    };
    this.#registers = new RegisterFile(
      VF_REGISTERS,
      {
        vtctrl: (value) => {
          if ((value & BigInt(CTRL.RST)) !== 0n) this.#reset(false);
          else this.#registers.set('vtctrl', value);
        },
        v2pMailbox: (value) => mailboxes.store(index, Number(value)),
        vteics: (value) => interrupts.raise(this.#bits(value)),
        vteims: (value) => interrupts.setVectors('eims', this.#bits(value), true),
        vteimc: (value) => interrupts.setVectors('eims', this.#bits(value), false),
        vteiac: replace('eiac'),
        vteiam: replace('eiam'),
        vteicr: (value) => interrupts.setVectors('eicr', this.#bits(value), false),
        vteitr: (value, n) => cells.set('eitr', Number(value), this.#shift + n),
        vtivar: (value) => cells.set('ivar', this.#physicalIvar(Number(value)), index),
      },
      {
        loads: {
          vtstatus: () => cells.file.load(0x8, 4),
          vtfrtimer: () => cells.file.load(0x1048, 4),
          v2pMailbox: () => BigInt(mailboxes.load(index)),
          vteims: bitsOf('eims'),
          vteiac: bitsOf('eiac'),
          vteiam: bitsOf('eiam'),
          vteicr: () => this.#readVectors(),
          vteitr: (_, n) => BigInt(cells.get('eitr', this.#shift + n)),
          vtivar: () => BigInt(this.#virtualIvar(cells.get('ivar', index))),
        },
        absent: 'zeros',
        widths: 'bytes',
      },
    );
  }

  powerOn(): void {
    this.#registers.reset();
  }
  reset(): void {
    this.#reset(true);
  }
  mmioRead(bar: number, offset: number, width: number): bigint {
    if (bar !== 0) return 0n;
    const place = this.#placeOf(offset);
    const { file } = this.#parts.cells;
    return place === undefined ? this.#registers.load(offset, width) : file.load(place, width);
  }
  mmioWrite(bar: number, offset: number, width: number, value: bigint): void {
    if (bar !== 0) return;
    const place = this.#placeOf(offset);
    if (place === undefined) this.#registers.store(offset, width, value);
    else this.#parts.cells.file.store(place, width, value);
  }
  registerName(bar: number, offset: number): string | undefined {
    if (bar !== 0) return undefined;
    const place = this.#placeOf(offset);
    return place === undefined
      ? this.#registers.nameAt(offset)
      : this.#parts.cells.file.nameAt(place);
  }
  state(): RegisterState {
    return this.#registers.state();
  }
  restore(state: RegisterState): void {
    this.#registers.restore(state);
  }

  /** Its mailbox interrupts, if it has said how. */
  notify(): void {
    const misc = Number(this.#registers.get('vtivarMisc'));
    if ((misc & VALID) !== 0) this.#parts.interrupts.raise(1 << (this.#shift + (misc & 3)));
  }
  count(counter: Counter, frames: readonly Uint8Array[]): void {
    const octets = frames.reduce((sum, { length }) => sum + length + FCS, 0);
    this.#add(counter, frames.length);
    this.#add(OCTETS[counter], octets);
    if (counter === 'vfgprc') this.#add('vfmprc', frames.filter(isMulticast).length);
  }

  /** Counters wrap. */
  #add(counter: keyof typeof VF_REGISTERS, by: number): void {
    this.#registers.set(counter, this.#registers.get(counter) + BigInt(by));
  }
  #bits(value: bigint): number {
    return (Number(value) & VECTORS) << this.#shift;
  }
  #readVectors(): bigint {
    const { cells, interrupts } = this.#parts;
    const waiting = (cells.get('eicr') >>> this.#shift) & VECTORS;
    const cleared = (waiting << this.#shift) & ~cells.get('eiac');
    interrupts.setVectors('eicr', cleared, false);
    return BigInt(waiting);
  }
  /** The same cells in the BAR of the physical function: its rings, and its mailbox. */
  #placeOf(offset: number): number | undefined {
    const { index } = this.#parts;
    if (offset >= 0x800 && offset < 0x800 + 4 * MAILBOX_WORDS) {
      return offset + 4 * MAILBOX_WORDS * index;
    }
    const block = offset & ~0x1ff;
    const [within, second] = [offset & 0xff, (offset & 0x100) !== 0];
    if ((block !== 0x2800 && block !== 0x3800) || within >= 0x40) return undefined;
    return (block === 0x2800 ? 0xc000 : 0xe000) + 0x40 * (index + (second ? 8 : 0)) + within;
  }
  /** Four bytes, each a vector of ours, as the physical function numbers them. */
  #physicalIvar(value: number): number {
    return eachByte(value, (byte) => VALID | ((byte & 3) + this.#shift));
  }
  #virtualIvar(value: number): number {
    return eachByte(value, (byte) => VALID | (((byte & 0x1f) - this.#shift) & 3));
  }

  #reset(fromOutside: boolean): void {
    const { cells, interrupts, mailboxes, transmit, index } = this.#parts;
    this.#registers.reset();
    for (const queue of [index, index + 8]) {
      cells.resetElement([...RECEIVE, ...TRANSMIT], queue);
      // Also the first, which only the physical function finds on.
      for (const name of ['rxdctl', 'txdctl'] as const) {
        cells.set(name, cells.get(name, queue) & ~QUEUE_ON, queue);
      }
      transmit.forget(queue);
    }
    for (const name of ['eims', 'eicr', 'eiac', 'eiam'] as const) {
      interrupts.setVectors(name, VECTORS << this.#shift, false);
    }
    cells.set('ivar', 0, index);
    mailboxes.wasReset(index, fromOutside);
  }
}

function eachByte(value: number, of: (byte: number) => number): number {
  let out = 0;
  for (let shift = 0; shift < 32; shift += 8) {
    const byte = (value >>> shift) & 0xff;
    if ((byte & VALID) !== 0) out |= of(byte) << shift;
  }
  return out >>> 0;
}
