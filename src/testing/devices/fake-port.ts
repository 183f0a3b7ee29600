/**
 * A port without a machine, for tests of one device model: memory that starts at address 0, everything the device does
 * written down, and switches to be flipped by hand.
 */
import type { BarMemory } from '../../base/bar-memory.ts';
import { Clock } from '../../base/clock.ts';
import { EFAULT, type Status } from '../../base/errno.ts';
import { refuse } from '../../base/refuse.ts';
import { SparseMemory } from '../../base/sparse-memory.ts';
import type { HostBackings, HostNeed } from '../../devices/host-services.ts';
import { hostServices } from '../../devices/host-turns.ts';
import { Wires } from '../../devices/wires.ts';
import { cutPieces } from '../../devices/unit/each.ts';
import {
  REGISTER_WORK,
  type ConfigSwitch,
  type DeviceAts,
  type DeviceModel,
  type DeviceOptions,
  type DevicePageRequest,
  type DevicePort,
  type DeviceType,
  type DmaPiece,
} from '../../devices/port.ts';
import { withDefaults } from '../../base/options.ts';

/** What the world of the device is. */
export interface FakeWorld {
  /** Bytes of memory. Default 64 KiB. */
  readonly memory?: number;
  readonly host?: HostBackings;
  /** Where its wire is plugged in; by default it is alone, and no other device can be named. */
  readonly segment?: Segment;
}

/** Several devices on the wires, and in the time, of one machine. */
export class Segment {
  readonly clock = new Clock();
  readonly wires: Wires;
  #plugged = 0;

  constructor(host: HostBackings = {}) {
    this.wires = new Wires(this.clock, host);
  }
  /** The first device is at 'a', then 'b' and so on: so its peers call it. */
  nextAddress(): string {
    return String.fromCharCode(0x61 + this.#plugged++);
  }
}

/** A page a device asked for. */
export interface AskedPage {
  readonly request: DevicePageRequest;
  /** The answer of software: 0 success, 1 invalid, 15 failure. */
  readonly respond: (code: number) => void;
}

/** A piece of a transfer. */
export interface FakeTransfer {
  readonly what: 'read' | 'write';
  readonly at: bigint;
  /** Bytes that were asked for, and those that moved. */
  readonly length: number;
  readonly moved: Uint8Array;
}

/** A port, and what came out of it. */
export class FakePort implements DevicePort {
  /** Addresses are offsets in it; beyond its end is EFAULT. */
  readonly memory: Uint8Array;
  readonly clock: Clock;
  /** Vectors of the messages sent, in order. */
  readonly messages: number[] = [];
  /** Level of the interrupt pin. */
  pin = false;
  /** Transfers in order: 'read 1000', 'write 2000'. */
  readonly touched: string[] = [];
  /** The same, with lengths, and what was read or is written. */
  hear: ((transfer: FakeTransfer) => void) | undefined;
  /** Shall this one be refused? Asked before it moves anything; they are counted from 0. */
  refuses: ((transfer: number) => boolean) | undefined;
  /** What the device wrote into its own registers in configuration space, by offset. */
  readonly configured = new Map<number, number>();
  /** Pages asked for, with the way to answer. */
  readonly pages: AskedPage[] = [];
  readonly host: DevicePort['host'];
  /** Virtual functions that are on, as software has it. */
  virtualFunctions = 0;
  readonly #bars = new Map<number, BarMemory>();
  #transfers = 0;
  readonly #on = new Set<ConfigSwitch>(['busMaster', 'memoryDecode', 'power', 'messages']);
  readonly #watchers = new Set<(what: ConfigSwitch, on: boolean) => void>();

  constructor(world: FakeWorld = {}, needs: readonly HostNeed[] = []) {
    this.memory = new Uint8Array(world.memory ?? 0x1_0000);
    const { segment = new Segment(world.host) } = world;
    const given = world.host ?? {};
    const { clock, wires } = segment;
    this.clock = clock;
    const address = segment.nextAddress();
    this.host = hostServices({ given, clock, plug: (name) => wires.plug(address, name) }, needs);
  }

  /** Of any BAR, with room for whatever the device does there. */
  barMemory(bar: number): BarMemory {
    let memory = this.#bars.get(bar);
    if (!memory) this.#bars.set(bar, (memory = new SparseMemory(2 ** 36)));
    return memory;
  }
  /** What software does in configuration space. At first bus mastering, decoding and messages are on. */
  flip(what: ConfigSwitch, on: boolean): void {
    if (on) this.#on.add(what);
    else this.#on.delete(what);
    for (const watcher of this.#watchers) watcher(what, on);
  }

  readonly config: DevicePort['config'] = configOf(this, {
    is: (what) => this.#on.has(what),
    set: (offset, value) => void this.configured.set(offset, value),
    watch: (what, run) => {
      const watcher = (which: ConfigSwitch, on: boolean): void => {
        if (which === what) run(on);
      };
      this.#watchers.add(watcher);
      return { [Symbol.dispose]: () => void this.#watchers.delete(watcher) };
    },
  });
  /** All of its memory costs what registers do. */
  isDear = false;
  readonly dma: { moved: number; work: number } & DevicePort['dma'] = {
    moved: 0,
    work: 0,
    read: (from, into, _pasid, most) =>
      this.#part('read', from, into, most, (at, bytes) => {
        bytes.set(this.memory.subarray(at, at + bytes.length));
      }),
    write: (to, from, _pasid, most) =>
      this.#part('write', to, from, most, (at, bytes) => {
        this.memory.set(bytes, at);
      }),
  };
  readonly irq: DevicePort['irq'] = irqOf(this);
  /** Addresses are translated to themselves, for reading and writing. */
  readonly ats: DeviceAts = atsOf(this);

  /** As much as so much work is. */
  #part(
    what: 'read' | 'write',
    at: bigint | readonly DmaPiece[],
    all: Uint8Array,
    most: number | undefined,
    move: (at: number, bytes: Uint8Array) => void,
  ): Status<'EFAULT'> {
    const perWord = this.isDear ? REGISTER_WORK : 8;
    const length = Math.min(all.length, 8 * Math.max(1, Math.floor((most ?? Infinity) / perWord)));
    const pieces = typeof at === 'bigint' ? [{ at, length: all.length }] : at;
    const part = length < all.length ? cutPieces(pieces, 0, length) : pieces;
    const rc = this.#pieces(what, part, all.subarray(0, length), move);
    const { dma } = this;
    dma.work += this.isDear ? Math.ceil(dma.moved / 8) * perWord : dma.moved;
    return rc;
  }
  #pieces(
    what: 'read' | 'write',
    pieces: readonly DmaPiece[],
    bytes: Uint8Array,
    move: (at: number, bytes: Uint8Array) => void,
  ): Status<'EFAULT'> {
    let done = 0;
    this.dma.moved = 0;
    for (const piece of pieces) {
      this.touched.push(`${what} ${piece.at.toString(16)}`);
      if (!this.#on.has('busMaster')) return refuse(EFAULT, 'bus mastering is off');
      if (this.refuses?.(this.#transfers++)) return refuse(EFAULT, 'the test refuses it');
      // As on a bus: what lies before the place that is refused has moved.
      const inside =
        Number(piece.at) >= this.memory.length ? 0 : this.memory.length - Number(piece.at);
      const length = Math.min(piece.length, inside);
      const moved = bytes.subarray(done, done + Math.max(length, 0));
      if (length > 0) move(Number(piece.at), moved);
      this.hear?.({ what, at: piece.at, length: piece.length, moved });
      done += length;
      this.dma.moved = done;
      if (length < piece.length) {
        return refuse(EFAULT, 'beyond the memory of the test', { at: piece.at });
      }
    }
    return undefined;
  }
}

function configOf(
  port: FakePort,
  switches: Pick<DevicePort['config'], 'is' | 'set' | 'watch'>,
): DevicePort['config'] {
  return {
    ...switches,
    name: '0000:00:04.0',
    get virtualFunctions() {
      return port.virtualFunctions;
    },
  };
}

function irqOf(port: FakePort): DevicePort['irq'] {
  return {
    message: (vector) => void port.messages.push(vector),
    get messagesEnabled() {
      return port.config.is('messages');
    },
    intx(asserted) {
      port.pin = asserted;
    },
  };
}

function atsOf(port: FakePort): DeviceAts {
  return {
    get enabled() {
      return port.config.is('ats');
    },
    get pagesEnabled() {
      return port.config.is('pageRequests');
    },
    translate(at) {
      if (!port.config.is('ats')) return refuse(EFAULT, 'ATS is off');
      const iova = at & ~0xfffn;
      return { iova, address: iova, length: 0x1000n, read: true, write: true };
    },
    requestPage(request, respond) {
      if (!port.config.is('pageRequests')) return false;
      port.pages.push({ request, respond });
      return true;
    },
  };
}

/** A device at power-on with a port of its own. Options that are not given have their defaults. */
export function plugInto(
  type: DeviceType,
  given: DeviceOptions = {},
  world: FakeWorld = {},
): { readonly device: DeviceModel; readonly port: FakePort } {
  const options = withDefaults(type.options, given);
  const port = new FakePort(world, type.needs?.(options));
  const device = type.create(port, options);
  device.powerOn();
  return { device, port };
}
