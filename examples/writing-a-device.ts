/**
 * A device model of our own: it adds up bytes of memory by DMA and interrupts when it is done.
 * docs/writing-a-device.md goes through it part by part. Run: npx tsx examples/writing-a-device.ts
 *
 * NOT IMPLEMENTED: a second sum while one is running is ignored.
 */
import assert from 'node:assert/strict';
import { Machine, SoftIommuError } from 'softiommu';
import {
  isErrno,
  type DeviceModel,
  type DevicePort,
  type DeviceType,
  type PciIdentity,
} from 'softiommu/devices';
import { runIfMain, type Print } from './run.ts';

/** 1. Registers of BAR 0. Writing `length` starts a sum; `status` is BUSY, then DONE or FAILED. */
const REG = { address: 0x00, length: 0x08, status: 0x0c, sum: 0x10 } as const;
const STATUS = { idle: 0, busy: 1, done: 2, failed: 3 } as const;

/** 2. What the configuration space says: it is made from this. */
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

/** The model: registers, and work that takes time. It sees its port and nothing else. */
class Adder implements DeviceModel {
  readonly #port: DevicePort;
  readonly #nsPerByte: number;
  #address = 0n;
  #status: number = STATUS.idle;
  #sum = 0;
  #work: Disposable | undefined;

  constructor(port: DevicePort, nsPerByte: number) {
    this.#port = port;
    this.#nsPerByte = nsPerByte;
  }
  reset(): void {
    this.#work?.[Symbol.dispose]();
    this.#work = undefined;
    this.#address = 0n;
    this.#status = STATUS.idle;
    this.#sum = 0;
    this.#port.intx(false);
  }
  mmioRead(_bar: number, offset: number): bigint {
    if (offset === REG.address) return this.#address;
    if (offset === REG.status) return BigInt(this.#status);
    return offset === REG.sum ? BigInt(this.#sum) : 0n;
  }
  mmioWrite(_bar: number, offset: number, _width: number, value: bigint): void {
    if (offset === REG.address) this.#address = value;
    if (offset === REG.length && this.#status !== STATUS.busy) this.#start(Number(value));
    // 3. Writing the status acknowledges the interrupt.
    if (offset === REG.status) this.#port.intx(false);
  }
  #start(length: number): void {
    this.#status = STATUS.busy;
    this.#work = this.#port.clock.after(length * this.#nsPerByte, () => {
      this.#finish(length);
    });
  }
  /** 4. DMA through whatever IOMMU is above: EFAULT is an answer, not an exception. */
  #finish(length: number): void {
    const bytes = new Uint8Array(length);
    const failed = isErrno(this.#port.read(this.#address, bytes));
    this.#sum = failed ? 0 : bytes.reduce((sum, byte) => sum + byte, 0);
    this.#status = failed ? STATUS.failed : STATUS.done;
    if (this.#port.messagesEnabled) this.#port.interrupt(0);
    else this.#port.intx(true);
  }
}

/** 5. Its type: the name and the options a machine description may use. */
export const adder: DeviceType = {
  type: 'adder',
  summary: 'adds up bytes by DMA',
  options: { ns_per_byte: { default: 10, help: 'how long a byte takes' } },
  identity: () => IDENTITY,
  create: (port, options) => new Adder(port, Number(options['ns_per_byte'])),
};

/** 6. A machine with one, driven as its driver would. */
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
  assert.equal(model.mmioRead(0, REG.status, 4), BigInt(STATUS.busy));
  machine.advance(20);
  print(`1 + 2 + 3 + 4 = ${model.mmioRead(0, REG.sum, 4)}`);
  assert.equal(model.mmioRead(0, REG.status, 4), BigInt(STATUS.done));
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
  assert.equal(model.mmioRead(0, REG.status, 4), BigInt(STATUS.failed));
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
