/**
 * A device made to show what a port has: it loads sectors of a disk into memory, by a list of pages, and interrupts.
 *
 * Before it writes a page it asks by ATS where that is, when software lets it; a page that is not there it asks for.
 */
import {
  isErrno,
  offsetsOf,
  RegisterFile,
  type BlockBacking,
  type DeviceModel,
  type DevicePort,
  type DeviceType,
  type DmaPiece,
  type RegisterTable,
  type RegisterState,
} from '../../src/devices/index.ts';

const REGISTERS = {
  sector: { offset: 0x00, width: 4, access: 'rw', help: 'first sector of 512 bytes' },
  first: { offset: 0x08, width: 8, access: 'rw', help: 'address of the first half' },
  second: { offset: 0x10, width: 8, access: 'rw', help: 'address of the second half' },
  bytes: { offset: 0x18, width: 4, access: 'rw', help: 'bytes; starts the load' },
  status: { offset: 0x1c, width: 4, access: 'ro', reset: 0, help: '1 busy, 2 done, 3 failed' },
  mastered: { offset: 0x20, width: 4, access: 'ro', help: 'how often it became bus master' },
  asked: { offset: 0x24, width: 4, access: 'ro', help: 'pages asked for' },
} as const satisfies RegisterTable;
export const LOADER_REG = offsetsOf(REGISTERS);

class Loader implements DeviceModel {
  readonly #port: DevicePort;
  readonly #disk: BlockBacking;
  readonly #registers: RegisterFile<typeof REGISTERS> = new RegisterFile(REGISTERS, {
    bytes: (value) => this.#start(Number(value)),
  });
  /** Resets since power-on: what was started before one is forgotten. */
  #era = 0;
  closed = false;

  constructor(port: DevicePort, disk: string) {
    this.#port = port;
    this.#disk = port.host.block(disk);
    port.config.watch('busMaster', (on) => on && this.#count('mastered'));
  }
  powerOn(): void {
    this.#registers.reset();
  }
  reset(): void {
    this.#era++;
    this.#registers.reset();
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
  state(): RegisterState {
    return this.#registers.state();
  }
  restore(state: RegisterState): void {
    this.#registers.restore(state);
  }
  close(): void {
    this.closed = true;
  }

  #count(register: 'mastered' | 'asked'): void {
    this.#registers.set(register, this.#registers.get(register) + 1n);
  }
  #start(length: number): void {
    this.#registers.set('status', 1n);
    const data = new Uint8Array(length);
    const era = this.#era;
    this.#disk.read(this.#registers.get('sector') * 512n, data, (rc) => {
      if (era === this.#era) this.#end(!rc && this.#store(data));
    });
  }
  #store(data: Uint8Array): boolean {
    const half = data.length / 2;
    const pieces: DmaPiece[] = (['first', 'second'] as const).map((name) => ({
      at: this.#registers.get(name),
      length: half,
    }));
    if (this.#port.ats?.enabled) for (const { at } of pieces) this.#wantPage(at);
    return !this.#port.dma.write(pieces, data);
  }
  /** The address is asked for like a prefetch: nothing is done with the answer. */
  #wantPage(at: bigint): void {
    const found = this.#port.ats!.translate(at);
    if (isErrno(found) || found.write) return;
    const page = { at, read: true, write: true, last: true, group: 1 };
    if (this.#port.ats!.requestPage(page, () => undefined)) this.#count('asked');
  }
  #end(ok: boolean): void {
    this.#registers.set('status', ok ? 2n : 3n);
    this.#port.irq.message(0);
  }
}

export const loader: DeviceType = {
  type: 'loader',
  summary: 'loads sectors of a disk into memory',
  options: { disk: { kind: 'text', default: 'disk0', help: 'name of a block device of the host' } },
  identity: () => ({
    vendor: 0x1234,
    device: 0x10ad,
    revision: 0,
    classCode: 0x01_80_00,
    bars: [{ index: 0, size: 0x1000, kind: 'mem32' }],
    interruptPin: 0,
    msiVectors: 1,
    pcie: { flr: true, type: 'endpoint' },
    ats: true,
    pri: true,
    pasidBits: 20,
  }),
  needs: (options) => [{ kind: 'block', name: String(options['disk']) }],
  create: (port, options) => new Loader(port, String(options['disk'])),
};
