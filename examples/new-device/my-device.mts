/**
 * My device: it fills memory with a byte, by DMA, and interrupts when it is done.
 *
 * NOT IMPLEMENTED: a length while it is busy is ignored.
 */
import {
  Delay,
  offsetsOf,
  RegisterFile,
  type DeviceModel,
  type DevicePort,
  type RegisterState,
  type RegisterTable,
} from 'softiommu/devices';
import { definePlugin, type DeviceType } from 'softiommu/plugin';

/** Registers of BAR 0: what the driver sees. */
const REGISTERS = {
  address: { offset: 0x00, width: 8, access: 'rw', help: 'where to' },
  byte: { offset: 0x08, width: 4, access: 'rw', writable: 0xff, help: 'what' },
  length: { offset: 0x0c, width: 4, access: 'rw', writable: 0xffff, help: 'how many; begins' },
  status: { offset: 0x10, width: 4, access: 'ro', help: '0 idle, 1 busy, 2 done, 3 refused' },
} as const satisfies RegisterTable;
export const REG = offsetsOf(REGISTERS);
export const STATUS = { idle: 0n, busy: 1n, done: 2n, refused: 3n } as const;

/** The type: its name, its options, what its configuration space says. */
export const myDevice: DeviceType = {
  type: 'my-device',
  summary: 'fills memory with a byte',
  options: {
    ns_per_byte: { kind: 'integer', default: 10, max: 1_000_000, help: 'how long a byte takes' },
  },
  registers: [{ bar: 0, table: REGISTERS }],
  identity: () => ({
    vendor: 0x1234, // nobody's; take your own
    device: 0xf111,
    revision: 1,
    classCode: 0x08_80_00, // other system peripheral
    bars: [{ index: 0, size: 0x1000, kind: 'mem32' }],
    interruptPin: 0,
    msiVectors: 1,
    pcie: { flr: true, type: 'endpoint' },
  }),
  create: (port, options) => new MyDevice(port, Number(options['ns_per_byte'])),
};

export default definePlugin({ name: 'my-device', devices: [myDevice] });

/** All there is to know of it at one moment. */
interface MyDeviceState {
  readonly registers: RegisterState;
  readonly leftNs: number | undefined;
}

class MyDevice implements DeviceModel {
  readonly #port: DevicePort;
  readonly #nsPerByte: number;
  readonly #registers: RegisterFile<typeof REGISTERS> = new RegisterFile(REGISTERS, {
    length: (value) => this.#begin(value),
  });
  readonly #work: Delay;

  constructor(port: DevicePort, nsPerByte: number) {
    this.#port = port;
    this.#nsPerByte = nsPerByte;
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
  /** For --trace. */
  registerName(_bar: number, offset: number): string | undefined {
    return this.#registers.nameAt(offset);
  }
  state(): MyDeviceState {
    return { registers: this.#registers.state(), leftNs: this.#work.leftNs };
  }
  restore({ registers, leftNs }: MyDeviceState): void {
    this.#registers.restore(registers);
    this.#work.restart(leftNs);
  }

  #begin(length: bigint): void {
    if (this.#work.leftNs !== undefined) return;
    this.#registers.set('length', length);
    this.#registers.set('status', STATUS.busy);
    this.#work.restart(Number(length) * this.#nsPerByte);
  }
  /** DMA goes through the IOMMU: EFAULT is an answer, not an exception. */
  #end(): void {
    const { dma, irq } = this.#port;
    const bytes = new Uint8Array(Number(this.#registers.get('length')));
    bytes.fill(Number(this.#registers.get('byte')));
    const refused = dma.write(this.#registers.get('address'), bytes);
    this.#registers.set('status', refused ? STATUS.refused : STATUS.done);
    irq.message(0);
  }
}
