/**
 * A device model of our own, in the library: it adds up bytes of memory by DMA and interrupts when it is done, by a message
 * or by its pin. docs/writing-a-device.md says how one is written, step by step. Run: npx tsx examples/writing-a-device.ts
 *
 * NOT IMPLEMENTED: a second sum while one is running is ignored.
 */
import assert from 'node:assert/strict';
import { Machine, SoftIommuError } from 'softiommu';
import {
  Delay,
  isErrno,
  offsetsOf,
  RegisterFile,
  type DeviceModel,
  type DevicePort,
  type DeviceType,
  type PciIdentity,
  type RegisterTable,
  type RegisterState,
} from 'softiommu/devices';
import { runIfMain, type Print } from './run.ts';

/** Registers of BAR 0. Writing `length` starts a sum; `status` is BUSY, then DONE or FAILED. */
const REGISTERS = {
  address: { offset: 0x00, width: 8, access: 'rw', help: 'where the bytes are' },
  length: { offset: 0x08, width: 4, access: 'rw', help: 'how many; starts the sum' },
  status: { offset: 0x0c, width: 4, access: 'rw', help: 'a write acknowledges the interrupt' },
  sum: { offset: 0x10, width: 4, access: 'ro', help: 'the result' },
} as const satisfies RegisterTable;
const REG = offsetsOf(REGISTERS);
const STATUS = { idle: 0n, busy: 1n, done: 2n, failed: 3n } as const;

/** What the configuration space says: it is made from this. */
const IDENTITY: PciIdentity = {
  vendor: 0x1234,
  device: 0xadd0,
  revision: 1,
  classCode: 0x12_00_00,
  bars: [{ index: 0, size: 0x1000, kind: 'mem32' }],
  interruptPin: 1,
  msiVectors: 1,
  msi64: true,
  pcie: { flr: true, type: 'endpoint' },
};

/** All there is to know of an adder at one moment. */
interface AdderState {
  readonly registers: RegisterState;
  readonly leftNs: number | undefined;
  readonly pin: boolean;
}

/** The model: registers, and work that takes time. It sees its port and nothing else. */
class Adder implements DeviceModel {
  readonly #port: DevicePort;
  readonly #nsPerByte: number;
  readonly #registers: RegisterFile<typeof REGISTERS> = new RegisterFile(REGISTERS, {
    length: (value) => this.#start(value),
    status: () => this.#drivePin(false),
  });
  readonly #work: Delay;
  #pin = false;

  constructor(port: DevicePort, nsPerByte: number) {
    this.#port = port;
    this.#nsPerByte = nsPerByte;
    this.#work = new Delay(port.clock, () => this.#finish());
  }
  powerOn(): void {
    this.#registers.reset();
  }
  reset(): void {
    this.#work.cancel();
    this.#registers.reset();
    this.#drivePin(false);
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
  state(): AdderState {
    return { registers: this.#registers.state(), leftNs: this.#work.leftNs, pin: this.#pin };
  }
  restore({ registers, leftNs, pin }: AdderState): void {
    this.#registers.restore(registers);
    this.#work.restart(leftNs);
    this.#drivePin(pin);
  }

  #start(length: bigint): void {
    if (this.#registers.get('status') === STATUS.busy) return;
    this.#registers.set('length', length);
    this.#registers.set('status', STATUS.busy);
    this.#work.restart(Number(length) * this.#nsPerByte);
  }
  /** DMA through whatever IOMMU is above: EFAULT is an answer, not an exception. */
  #finish(): void {
    const bytes = new Uint8Array(Number(this.#registers.get('length')));
    const { dma, irq } = this.#port;
    const failed = isErrno(dma.read(this.#registers.get('address'), bytes));
    this.#registers.set('sum', failed ? 0n : BigInt(bytes.reduce((sum, byte) => sum + byte, 0)));
    this.#registers.set('status', failed ? STATUS.failed : STATUS.done);
    // Messages replace the pin.
    if (irq.messagesEnabled) irq.message(0);
    else this.#drivePin(true);
  }
  #drivePin(up: boolean): void {
    this.#pin = up;
    this.#port.irq.intx(up);
  }
}

/** Its type: the name and the options a machine description may use. */
export const adder: DeviceType = {
  type: 'adder',
  summary: 'adds up bytes by DMA',
  options: { ns_per_byte: { kind: 'integer', default: 10, help: 'how long a byte takes' } },
  identity: () => IDENTITY,
  create: (port, options) => new Adder(port, Number(options['ns_per_byte'])),
};

/** A machine with one, driven as its driver would. */
export function main(print: Print): void {
  const machine = new Machine(
    { devices: [{ type: 'adder', at: '0000:00:06.0', options: { ns_per_byte: 5 } }] },
    { deviceTypes: new Map([[adder.type, adder]]) },
  );
  const device = machine.device('0000:00:06.0');
  const domain = device.allocDomain();
  const memory = device.allocMemory(4096);
  memory.bytes.set([1, 2, 3, 4]);
  device.claim();
  device.attach(domain);
  domain.map(0x5000n, memory);
  device.busMaster = true;
  const { model } = device.kernel.slot;
  assert(model);

  model.mmioWrite(0, REG.address, 8, 0x5000n);
  model.mmioWrite(0, REG.length, 4, 4n);
  assert.equal(model.mmioRead(0, REG.status, 4), STATUS.busy);
  machine.advance(20);
  print(`1 + 2 + 3 + 4 = ${model.mmioRead(0, REG.sum, 4)}`);
  assert.equal(model.mmioRead(0, REG.status, 4), STATUS.done);
  assert.equal(model.mmioRead(0, REG.sum, 4), 10n);

  // Outside of what is mapped the IOMMU refuses, and the model says so in its status.
  const faults: string[] = [];
  using _ = machine.trace(({ event }) => {
    if (event.kind === 'fault') faults.push(event.text);
  });
  model.mmioWrite(0, REG.address, 8, 0x9000n);
  model.mmioWrite(0, REG.length, 4, 4n);
  machine.advance(20);
  print(`at an address that is not mapped: ${faults[0] ?? 'no fault'}`);
  assert.equal(model.mmioRead(0, REG.status, 4), STATUS.failed);
  assert.match(faults[0] ?? '', /DMAR: \[DMA Read .*fault addr 0x9000/);

  // A description with an option it does not have is refused with the ones it has.
  const wrong = { devices: [{ type: 'adder', at: '0000:00:06.0', options: { speed: 1 } }] };
  assert.throws(
    () => new Machine(wrong, { deviceTypes: new Map([[adder.type, adder]]) }),
    /ns_per_byte/,
  );
  assert.throws(() => machine.device('0000:00:07.0'), SoftIommuError);
  device.detach(domain);
  device.release();
  domain.free();
  memory.free();
  machine.close();
  print('done: nothing is left attached, mapped or allocated');
}

runIfMain(import.meta.url, main);
