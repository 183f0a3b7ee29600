/**
 * The smallest device that is one: it reads bytes of memory and writes them elsewhere, and interrupts when it is done. It
 * is ours (1234:ec40), to begin with (docs/writing-a-device.md) and to try DMA with.
 *
 * NOT IMPLEMENTED: a length while it is busy is ignored.
 */
import type { DeviceModel, DevicePort, DeviceType } from '../port.ts';
import { Delay } from '../unit/delay.ts';
import { shadowPages } from '../unit/register-shadow.ts';
import {
  offsetsOf,
  RegisterFile,
  type RegisterState,
  type RegisterTable,
} from '../unit/registers.ts';

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
}

class DmaEcho implements DeviceModel {
  readonly #port: DevicePort;
  readonly #registers: RegisterFile<typeof ECHO_REGISTERS>;
  readonly #work: Delay;

  constructor(port: DevicePort) {
    this.#port = port;
    this.#registers = new RegisterFile(
      ECHO_REGISTERS,
      { length: (value) => this.#begin(value) },
      { widths: 'bytes', shadow: port.barMemory(0) },
    );
    this.#work = new Delay(port.clock, () => this.#end());
  }
  powerOn(): void {
    this.#work.cancel();
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
    return { registers: this.#registers.state(), leftNs: this.#work.leftNs };
  }
  restore({ registers, leftNs }: EchoState): void {
    this.#registers.restore(registers);
    this.#work.restart(leftNs);
  }

  #begin(length: bigint): void {
    if (this.#work.leftNs !== undefined) return;
    this.#registers.set('length', length);
    this.#registers.set('status', ECHO_STATUS.busy);
    this.#work.restart(Number(length) * NS_PER_BYTE);
  }
  #end(): void {
    const { dma, irq } = this.#port;
    const bytes = new Uint8Array(Number(this.#registers.get('length')));
    const rc =
      dma.read(this.#registers.get('from'), bytes) ?? dma.write(this.#registers.get('to'), bytes);
    this.#registers.set('status', rc ? ECHO_STATUS.refused : ECHO_STATUS.done);
    irq.message(0);
  }
}
