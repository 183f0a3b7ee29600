/**
 * The Intel 82576 gigabit controller (devices.md 1, vfio.md 5.5): 8086:10c9, 16 queues a direction, and up
 * to eight virtual functions (vf.ts) that have some of them.
 *
 * A frame takes the way transmit.ts, offloads.ts, traffic.ts, the wire, traffic.ts, filters.ts, receive.ts. This file is
 * the function itself, and what stores to its control registers do.
 *
 * NOT IMPLEMENTED: legacy descriptors, header split, head write-back, interrupt throttling, DCA, flow control, IPsec,
 * MACsec, low latency interrupts, EtherType and flexible filters, wake-up, NVM writes, I2C, SGMII and SerDes, management,
 * time stamps, anti-spoofing, VLANs that are forced on a virtual function.
 */
import type { Wire, WireState } from '../host-services.ts';
import type { DeviceDma, DeviceModel, DevicePort, DeviceType, PciIdentity } from '../port.ts';
import { MAC_OPTION, stationAddress, WIRE_OPTION } from '../unit/network-options.ts';
import type { RegisterState } from '../unit/registers.ts';
import { Cells, type Actions } from './cells.ts';
import { nvmActions, nvmImage } from './eeprom.ts';
import { Interrupts, type InterruptSink } from './interrupts.ts';
import { Link } from './link.ts';
import { Phy } from './phy.ts';
import { Receive } from './receive.ts';
import { Mailboxes } from './mailbox.ts';
import { CAUSE, CTRL, IGB_REGISTERS, QUEUES } from './registers.ts';
import { Rss } from './rss.ts';
import { Statistics } from './statistics.ts';
import { Traffic } from './traffic.ts';
import { Transmit, type TransmitState } from './transmit.ts';
import { IgbVf } from './vf.ts';
import { VF_VECTORS, VirtualPorts } from './virtual.ts';

const OPTIONS = {
  mac: MAC_OPTION,
  wire: WIRE_OPTION,
  vfs: {
    kind: 'integer',
    default: 8,
    max: 8,
    help: 'virtual functions that can be switched on; the first stands 0x80 functions behind this one',
  },
} as const;

const IDENTITY: PciIdentity = {
  vendor: 0x8086,
  device: 0x10c9,
  revision: 1,
  classCode: 0x02_0000,
  subsystemVendor: 0x8086,
  subsystem: 0xa03c,
  bars: [
    { index: 0, size: 0x2_0000, kind: 'mem32' },
    { index: 3, size: 0x4000, kind: 'mem32' },
  ],
  interruptPin: 1,
  powerManagement: true,
  msiVectors: 1,
  msi64: true,
  msix: { vectors: 10, bar: 3, tableOffset: 0, pbaOffset: 0x2000 },
  pcie: { flr: true, type: 'endpoint' },
};

const VF_BAR = { size: 0x4000, kind: 'mem64', prefetchable: true } as const;
const VIRTUAL = {
  firstOffset: 0x80,
  stride: 2,
  device: 0x10ca,
  bars: [
    { index: 0, ...VF_BAR },
    { index: 3, ...VF_BAR },
  ],
} as const;

export const igb: DeviceType = {
  type: 'igb',
  summary: 'Intel 82576 gigabit Ethernet: 16 queues, offloads, MSI-X (8086:10c9)',
  migratable: true,
  options: OPTIONS,
  registers: [{ bar: 0, table: IGB_REGISTERS }],
  identity: ({ vfs }) => ({
    ...IDENTITY,
    ...(vfs && { sriov: { ...VIRTUAL, totalVfs: Number(vfs) } }),
  }),
  virtualIdentity: () => ({
    msix: { vectors: VF_VECTORS, bar: 3, tableOffset: 0, pbaOffset: 0x2000 },
  }),
  needs: (options) => [{ kind: 'wire', name: String(options['wire']) }],
  create(port, options) {
    const mac = stationAddress(String(options['mac']), port.config.name);
    return new Igb(port, port.host.wire(String(options['wire'])), mac);
  },
};

const STATUS_PHY_RESET = 1 << 10;
const SWSM_TAKEN = 1;
const ADDRESS_VALID = 0x8000_0000;

/** What an igb is at one moment. */
interface IgbState {
  readonly cells: RegisterState;
  readonly phy: Uint16Array;
  readonly linkUp: boolean;
  readonly transmit: TransmitState;
  readonly wire: WireState;
}

class Igb implements DeviceModel {
  readonly #port: DevicePort;
  readonly #wire: Wire;
  readonly #mac: Uint8Array;
  readonly #cells = new Cells();
  readonly #interrupts: Interrupts;
  readonly #phy: Phy;
  readonly #link: Link;
  readonly #transmit: Transmit;
  readonly #rss: Rss;
  readonly #virtual: VirtualPorts;
  readonly #mailboxes: Mailboxes;
  readonly #functions: (IgbVf | undefined)[] = [];

  constructor(port: DevicePort, wire: Wire, mac: Uint8Array) {
    const cells = this.#cells;
    this.#port = port;
    this.#wire = wire;
    this.#mac = mac;
    const virtual = new VirtualPorts(port);
    this.#virtual = virtual;
    this.#interrupts = new Interrupts(cells, interruptSink(port, virtual));
    const interrupts = this.#interrupts;
    this.#phy = new Phy(cells, {
      isLinkUp: () => this.#link.isUp,
      changed: () => this.#link.update(),
      accessed: () => interrupts.cause(CAUSE.MDAC),
    });
    const changed = (): void => interrupts.cause(CAUSE.LSC);
    const link = new Link({ cells, phy: this.#phy, wire, changed });
    this.#link = link;
    const statistics = new Statistics(cells);
    const rss = new Rss(cells);
    this.#rss = rss;
    const receive = new Receive(cells, statistics);
    const functions = this.#functions;
    const parts = { cells, wire, link, rss, receive, statistics, interrupts };
    const traffic = new Traffic({ ...parts, virtual, functions });
    this.#mailboxes = new Mailboxes(cells, {
      cause: (bits) => interrupts.cause(bits),
      notify: (index) => functions[index]?.notify(),
    });
    this.#transmit = new Transmit(port.clock, cells, {
      dmaOf: (queue) => this.#sendingDma(queue),
      send: (frames, queue) => traffic.send(frames, queue),
      sent: (queues) => interrupts.sent(queues),
    });
    for (const { actions } of [
      interrupts,
      this.#phy,
      statistics,
      this.#transmit,
      this.#mailboxes,
    ]) {
      cells.act(actions);
    }
    cells.act(nvmActions(cells, nvmImage(mac)));
    cells.act(rss.actions);
    cells.act(this.#control());
    wire.listen({
      get work() {
        return virtual.work;
      },
      receive: (frames, lost) => traffic.received(frames, lost),
      carrier: () => link.update(),
    });
    port.config.watch('messages', () => interrupts.drivePin());
  }

  virtualFunction(index: number, port: DevicePort): DeviceModel {
    this.#virtual.add(index, port);
    const [cells, interrupts] = [this.#cells, this.#interrupts];
    const [mailboxes, transmit] = [this.#mailboxes, this.#transmit];
    const made = new IgbVf({ index, port, cells, interrupts, mailboxes, transmit });
    this.#functions[index] = made;
    return made;
  }
  powerOn(): void {
    this.#phy.reset();
    this.#resetMac(true);
    this.#link.begin();
    this.#wire.restore();
    this.#interrupts.drivePin();
  }
  reset(): void {
    this.powerOn();
  }
  mmioRead(bar: number, offset: number, width: number): bigint {
    return bar === 0 ? this.#cells.file.load(offset, width) : 0n;
  }
  mmioWrite(bar: number, offset: number, width: number, value: bigint): void {
    if (bar === 0) this.#cells.file.store(offset, width, value);
  }
  registerName(bar: number, offset: number): string | undefined {
    return bar === 0 ? this.#cells.file.nameAt(offset) : undefined;
  }
  state(): IgbState {
    return {
      cells: this.#cells.state(),
      phy: this.#phy.state(),
      linkUp: this.#link.isUp,
      transmit: this.#transmit.state(),
      wire: this.#wire.state(),
    };
  }
  restore(state: IgbState): void {
    this.#cells.restore(state.cells);
    this.#rss.forgetKey();
    this.#phy.restore(state.phy);
    this.#transmit.restore(state.transmit);
    this.#link.begin(state.linkUp);
    this.#wire.restore(state.wire);
    this.#interrupts.drivePin();
  }

  /** NUM_VFS and IOV_MODE. */
  get #virtualStatus(): number {
    const { count } = this.#virtual;
    return count > 0 ? (1 << 18) | (count << 14) : 0;
  }
  /** Pools that may not send have their queues stopped. */
  #sendingDma(queue: number): DeviceDma | undefined {
    const pool = queue % (QUEUES / 2);
    const stopped = this.#virtual.count > pool && !this.#cells.has('vfte', 1 << pool);
    return stopped ? undefined : this.#virtual.dmaOf(queue);
  }
  #control(): Actions {
    const cells = this.#cells;
    return {
      stores: {
        ctrl: (value) => this.#setControl(value),
        rctl: (value) => {
          cells.set('rctl', value);
          this.#link.update();
        },
      },
      loads: {
        status: (value) => (value & STATUS_PHY_RESET) | this.#link.status | this.#virtualStatus,
        frtimer: () => Math.floor(this.#port.clock.nowNs / 1000),
        swsm: (value) => {
          cells.set('swsm', value | SWSM_TAKEN);
          return value;
        },
      },
    };
  }
  #setControl(value: number): void {
    const cells = this.#cells;
    const before = cells.get('ctrl');
    if ((value & CTRL.RST) !== 0) {
      this.#resetMac(false);
      this.#interrupts.drivePin();
    } else cells.set('ctrl', value);
    if ((value & ~before & CTRL.PHY_RST) !== 0) {
      this.#phy.reset();
      cells.set('status', cells.get('status') | STATUS_PHY_RESET);
    }
    this.#link.update();
    this.#transmit.wake();
  }
  /** Everything but the PHY: by power-on all of it, by software without what it keeps. */
  #resetMac(all: boolean): void {
    const cells = this.#cells;
    cells.reset(all);
    this.#rss.forgetKey();
    this.#transmit.reset();
    const [a = 0, b = 0, c = 0, d = 0, e = 0, f = 0] = this.#mac;
    cells.set('ral', a | (b << 8) | (c << 16) | (d << 24));
    cells.set('rah', e | (f << 8) | ADDRESS_VALID);
  }
}

function interruptSink(port: DevicePort, virtual: VirtualPorts): InterruptSink {
  return {
    vector: (vector) => virtual.vector(vector),
    get virtualVectors() {
      return virtual.vectors;
    },
    get virtualQueues() {
      return virtual.queues;
    },
    get messagesEnabled() {
      return port.irq.messagesEnabled;
    },
    intx: (asserted) => port.irq.intx(asserted),
  };
}
