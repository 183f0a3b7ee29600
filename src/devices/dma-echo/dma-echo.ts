/**
 * The smallest device that is one: it reads bytes of memory and writes them elsewhere, and interrupts when it is done. It
 * is ours (1234:ec40), to begin with (docs/writing-a-device.md) and to try DMA with.
 *
 * NOT IMPLEMENTED: a length while it is busy is ignored.
 */
import type { DeviceModel, DevicePort, DeviceType } from '../port.ts';
import { Delay } from '../unit/delay.ts';
import { LongTransfer, type LongState } from '../unit/long-transfer.ts';
import { shadowPages } from '../unit/register-shadow.ts';
import {
  offsetsOf,
  RegisterFile,
  type RegisterState,
  type RegisterTable,
} from '../unit/registers.ts';
import { TURN_WORK } from '../unit/turn-budget.ts';

export const ECHO_REGISTERS = {
  from: { offset: 0x00, width: 8, access: 'rw', shadow: true, help: 'where the bytes are' },
  to: { offset: 0x08, width: 8, access: 'rw', shadow: true, help: 'where they go' },
  length: {
    offset: 0x10,
    width: 4,
    access: 'rw',
    writable: 0xffff,
    shadow: true,
    help: 'how many; begins',
  },
  status: {
    offset: 0x14,
    width: 4,
    access: 'ro',
    shadow: true,
    help: '0 idle, 1 busy, 2 done, 3 refused',
  },
} as const satisfies RegisterTable;
export const ECHO_REG = offsetsOf(ECHO_REGISTERS);
export const ECHO_STATUS = { idle: 0n, busy: 1n, done: 2n, refused: 3n } as const;
const NS_PER_BYTE = 10;

export const dmaEcho: DeviceType = {
  type: 'dma-echo',
  summary: 'reads bytes of memory and writes them elsewhere: the smallest device (1234:ec40)',
  migratable: true,
  options: {},
  registers: [{ bar: 0, table: ECHO_REGISTERS }],
  identity: () => ({
    vendor: 0x1234,
    device: 0xec40,
    revision: 1,
    classCode: 0x08_80_00,
    bars: [{ index: 0, size: 0x1000, kind: 'mem32', shadow: shadowPages(ECHO_REGISTERS) }],
    interruptPin: 0,
    msiVectors: 1,
    pcie: { flr: true, type: 'endpoint' },
  }),
  create: (port) => new DmaEcho(port),
};

interface EchoState {
  readonly registers: RegisterState;
  readonly leftNs: number | undefined;
  readonly transfer: LongState | undefined;
}

class DmaEcho implements DeviceModel {
  readonly #port: DevicePort;
  readonly #registers: RegisterFile<typeof ECHO_REGISTERS>;
  readonly #work: Delay;
  /** Reading, then writing; the end of it may be far where registers are what it reaches. */
  #transfer: LongTransfer | undefined;

  constructor(port: DevicePort) {
    this.#port = port;
    this.#registers = new RegisterFile(
      ECHO_REGISTERS,
      { length: (value) => this.#begin(value) },
      { widths: 'bytes', shadow: port.barMemory(0) },
    );
    this.#work = new Delay(port.clock, () => this.#goOn());
  }
  powerOn(): void {
    this.#work.cancel();
    this.#transfer = undefined;
    this.#registers.reset();
  }
  reset(): void {
    this.powerOn();
  }
  mmioRead(_bar: number, offset: number, width: number): bigint {
    return this.#registers.load(offset, width);
  }
  mmioWrite(_bar: number, offset: number, width: number, value: bigint): void {
    this.#registers.store(offset, width, value);
  }
  registerName(_bar: number, offset: number): string | undefined {
    return this.#registers.nameAt(offset);
  }
  state(): EchoState {
    return {
      registers: this.#registers.state(),
      leftNs: this.#work.leftNs,
      transfer: this.#transfer?.state(),
    };
  }
  restore({ registers, leftNs, transfer }: EchoState): void {
    this.#registers.restore(registers);
    this.#transfer = transfer && LongTransfer.restored(this.#port.dma, transfer);
    this.#work.restart(leftNs);
  }

  #begin(length: bigint): void {
    if (this.#isBusy) return;
    this.#registers.set('length', length);
    this.#registers.set('status', ECHO_STATUS.busy);
    this.#work.restart(Number(length) * NS_PER_BYTE);
  }
  get #isBusy(): boolean {
    return this.#registers.get('status') === ECHO_STATUS.busy;
  }
  /** A turn of it. What it reaches may be this device, which a reset ends. */
  #goOn(): void {
    const { dma } = this.#port;
    const length = Number(this.#registers.get('length'));
    const pieces = (register: 'from' | 'to') => [{ at: this.#registers.get(register), length }];
    const transfer = (this.#transfer ??= LongTransfer.reading(dma, [pieces('from')]));
    transfer.go(TURN_WORK);
    if (this.#transfer !== transfer) return;
    if (!transfer.isOver) this.#work.restart(0);
    else if (!transfer.ends[0]) this.#end(ECHO_STATUS.refused);
    else if (transfer.isWrite) this.#end(ECHO_STATUS.done);
    else {
      const { bytes } = transfer;
      this.#transfer = LongTransfer.writing(dma, [{ pieces: pieces('to'), bytes }]);
      this.#goOn();
    }
  }
  #end(status: bigint): void {
    this.#transfer = undefined;
    this.#registers.set('status', status);
    this.#port.irq.message(0);
  }
}
