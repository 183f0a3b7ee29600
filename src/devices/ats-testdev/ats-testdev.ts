/**
 * A device that moves a page and asks for it when it is not there: 1234:11e9, with ATS and page requests (devices.md 8.2).
 * libvfn's iopf and other programs that handle I/O page faults drive it.
 *
 * RUN moves its buffer of 4 KiB from or to the address. With ATS on, it asks where the pages are first, and with page
 * requests on it asks for those that are missing and goes on when software has answered; RUN stays up meanwhile. A
 * refusal ends the transfer, and nothing tells of it but RUN.
 *
 * NOT IMPLEMENTED: nothing of the register set is left out. The PASID register is ours, and there only with PASIDs.
 */
import { isErrno } from '../../base/errno.ts';
import type { DeviceModel, DeviceOptions, DevicePort, DeviceType, PciIdentity } from '../port.ts';
import { Delay } from '../unit/delay.ts';
import {
  offsetsOf,
  RegisterFile,
  type RegisterState,
  type RegisterTable,
} from '../unit/registers.ts';

const PAGE = 4096n;
/** Bytes of the buffer. */
export const ATS_BUFFER = 4096;

export const ATS_REGISTERS = {
  address: { offset: 0x0, width: 8, access: 'rw', help: 'of the memory' },
  command: {
    offset: 0x8,
    width: 4,
    access: 'rw',
    writable: 3,
    help: '0x1 run, up until it is done; 0x2 from memory to the buffer, else to memory',
  },
  pasid: {
    offset: 0x10,
    width: 4,
    access: 'rw',
    acts: 'any',
    help: '1 << 31 with the PASID in bits 19:0; without the option ones, as where nothing is',
  },
} as const satisfies RegisterTable;
export const ATS_REG = offsetsOf(ATS_REGISTERS);
export const ATS_RUN = 1;
export const ATS_FROM_MEMORY = 2;
export const ATS_WITH_PASID = 2 ** 31;

const OPTIONS = {
  ats: { kind: 'boolean', default: true, help: 'address translation services' },
  pri: { kind: 'boolean', default: true, help: 'page requests; with ats only' },
  pasid_bits: {
    kind: 'integer',
    default: 0,
    max: 20,
    help: 'width of the PASID capability; 0 for none, and no PASID register',
  },
} as const;

export const atsTestdev: DeviceType = {
  type: 'ats-testdev',
  summary: 'moves a page, and asks for it when it is not there: ATS and page requests (1234:11e9)',
  options: OPTIONS,
  registers: [{ bar: 0, table: ATS_REGISTERS }],
  identity: identityOf,
  create: (port, options) => new AtsTestdev(port, options),
};

function identityOf(options: DeviceOptions): PciIdentity {
  return {
    vendor: 0x1234,
    device: 0x11e9,
    revision: 2,
    classCode: 0x00_ff_00,
    subsystemVendor: 0x1af4,
    subsystem: 0x1100,
    bars: [{ index: 0, size: 0x1000, kind: 'mem64' }],
    interruptPin: 1,
    pcie: { flr: true, type: 'endpoint' },
    ats: options['ats'] === true,
    pri: options['ats'] === true && options['pri'] === true,
    pasidBits: Number(options['pasid_bits']),
  };
}

/** What it is at one moment. */
interface AtsTestdevState {
  readonly registers: RegisterState;
  readonly buffer: Uint8Array;
  /** Nanoseconds to the next attempt. */
  readonly leftNs: number | undefined;
  /** A page was asked for, and nobody has answered. */
  readonly waits: boolean;
}

class AtsTestdev implements DeviceModel {
  readonly #port: DevicePort;
  readonly #buffer = new Uint8Array(ATS_BUFFER);
  readonly #hasPasids: boolean;
  readonly #registers: RegisterFile<typeof ATS_REGISTERS> = new RegisterFile(
    ATS_REGISTERS,
    {
      command: (value) => this.#command(value),
      pasid: (value) => {
        if (this.#hasPasids) this.#registers.set('pasid', value);
      },
    },
    { widths: 'bytes' },
  );
  readonly #attempt: Delay;
  /** Of the page request that is waited for; 0 for none. Answers to others come too late. */
  #waits = 0;
  #requests = 0;

  constructor(port: DevicePort, options: DeviceOptions) {
    this.#port = port;
    this.#hasPasids = Number(options['pasid_bits']) > 0;
    this.#attempt = new Delay(port.clock, () => this.#run());
  }

  powerOn(): void {
    this.#attempt.cancel();
    this.#waits = 0;
    this.#registers.reset();
    if (!this.#hasPasids) this.#registers.set('pasid', ~0n);
    this.#buffer.fill(0);
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
  state(): AtsTestdevState {
    return {
      registers: this.#registers.state(),
      buffer: this.#buffer.slice(),
      leftNs: this.#attempt.leftNs,
      waits: this.#waits !== 0,
    };
  }
  /** The answer to a request goes to who asked: it is asked again. */
  restore(state: AtsTestdevState): void {
    this.#registers.restore(state.registers);
    this.#buffer.set(state.buffer);
    this.#waits = 0;
    this.#attempt.restart(state.waits ? 0 : state.leftNs);
  }

  get #isRunning(): boolean {
    return (this.#registers.get('command') & BigInt(ATS_RUN)) !== 0n;
  }
  get #reads(): boolean {
    return (this.#registers.get('command') & BigInt(ATS_FROM_MEMORY)) !== 0n;
  }
  get #pasid(): number | undefined {
    const value = Number(this.#registers.get('pasid'));
    return this.#hasPasids && value >= ATS_WITH_PASID ? value & 0xf_ffff : undefined;
  }
  #command(value: bigint): void {
    if (this.#isRunning) return;
    this.#registers.set('command', value);
    if (value & BigInt(ATS_RUN)) this.#attempt.restart(0);
  }
  #end(): void {
    this.#registers.set('command', this.#registers.get('command') & ~BigInt(ATS_RUN));
  }

  #run(): void {
    const { dma } = this.#port;
    const at = this.#registers.get('address');
    const missing = this.#missing(at);
    if (missing !== undefined) {
      this.#askFor(missing);
      return;
    }
    const bytes = this.#reads ? new Uint8Array(ATS_BUFFER) : this.#buffer;
    const rc = this.#reads ? dma.read(at, bytes, this.#pasid) : dma.write(at, bytes, this.#pasid);
    if (rc) this.#askFor(BigInt.asUintN(64, at + BigInt(dma.moved)));
    else {
      if (this.#reads) this.#buffer.set(bytes);
      this.#end();
    }
  }
  /** The first address the IOMMU has no translation for; undefined without ATS, and where it does not say. */
  #missing(from: bigint): bigint | undefined {
    const { ats } = this.#port;
    if (!ats?.enabled) return undefined;
    const pasid = this.#pasid;
    const which = pasid === undefined ? {} : { pasid };
    const last = from + BigInt(ATS_BUFFER) - 1n;
    for (let page = from & ~(PAGE - 1n); page <= last; page += PAGE) {
      const place = ats.translate(BigInt.asUintN(64, page), { ...which, noWrite: this.#reads });
      if (isErrno(place)) return undefined;
      if (!(this.#reads ? place.read : place.write)) return page;
    }
    return undefined;
  }
  #askFor(at: bigint): void {
    const { ats } = this.#port;
    const number = ++this.#requests;
    const pasid = this.#pasid;
    const request = {
      at: at & ~(PAGE - 1n),
      ...(pasid !== undefined && { pasid }),
      read: this.#reads,
      write: !this.#reads,
      last: true,
      group: number % 256,
    };
    this.#waits = number;
    if (ats?.pagesEnabled && ats.requestPage(request, (code) => this.#answered(number, code)))
      return;
    this.#waits = 0;
    this.#end();
  }
  #answered(number: number, code: number): void {
    if (this.#waits !== number) return;
    this.#waits = 0;
    if (code === 0) this.#attempt.restart(0);
    else this.#end();
  }
}
