/**
 * Who has switched off what a device needs to get on: memory decode, bus mastering, power. Whoever explains a SIGBUS or a DMA
 * that was stopped has to name the write that made it so, which was long before. Such writes are rare, so each is remembered,
 * as long as it counts.
 */
import type { CallInfo } from '../../base/events.ts';
import type { Machine } from '../../machine/machine.ts';
import type { PciSlot } from '../../machine/hardware/slot.ts';
import { PCI_COMMAND_MASTER, PCI_COMMAND_MEMORY } from '../../uapi/pci-regs.ts';
import type { CallSite, CallSites } from '../sites/call-site.ts';
import { siteText } from '../sites/site-text.ts';
import { whereText } from '../views/call-text.ts';

/** What can be off. */
export type Switch = 'memory decode' | 'bus mastering' | 'power';

interface SwitchedOff {
  /** Undefined: no program's call; a timer's, or the kernel's own. */
  readonly call: CallInfo | undefined;
  readonly site: CallSite | undefined;
}
type PciFunctionOfSlot = PciSlot['fn'];
type States = Readonly<Record<Switch, boolean>>;

/** Looks on from now on. */
export class Switches {
  readonly #machine: Machine;
  readonly #sites: CallSites | undefined;
  readonly #watched = new WeakSet<PciFunctionOfSlot>();
  readonly #off = new Map<string, Map<Switch, SwitchedOff>>();

  constructor(machine: Machine, sites: CallSites | undefined) {
    this.#machine = machine;
    this.#sites = sites;
    for (const { fn } of machine.hardware.slots()) this.#watch(fn);
    machine.hardware.arrivals.add(({ fn }) => this.#watch(fn));
  }
  /** Is it off now? */
  isOff(device: string, what: Switch): boolean {
    const slot = this.#machine.hardware.slot(device);
    return slot !== undefined && !statesOf(slot.fn)[what];
  }
  /** 'bus mastering was switched off by ioctl(…) of process 12, at main, a.c:7'. Undefined: it is on, or never was. */
  whoSwitchedOff(device: string, what: Switch): string | undefined {
    const off = this.#off.get(device)?.get(what);
    if (!off) return undefined;
    const { call, site } = off;
    const whose =
      call?.pid === undefined ? 'the kernel' : `${whereText(call)} of process ${call.pid}`;
    const place = site && siteText(site);
    return `${what} was switched off by ${whose}${place === undefined ? '' : `, ${place}`}`;
  }

  /** A virtual function may come again. */
  #watch(fn: PciFunctionOfSlot): void {
    if (this.#watched.has(fn)) return;
    this.#watched.add(fn);
    let before = statesOf(fn);
    fn.watchers.add(() => {
      const now = statesOf(fn);
      for (const [what, isOn] of entriesOf(now)) {
        if (before[what] && !isOn) this.#keep(fn.name, what);
        else if (isOn) this.#off.get(fn.name)?.delete(what);
      }
      before = now;
    });
  }
  #keep(device: string, what: Switch): void {
    const known = this.#off.get(device) ?? new Map<Switch, SwitchedOff>();
    this.#off.set(device, known);
    known.set(what, { call: this.#machine.syscalls.current, site: this.#sites?.here() });
  }
}

function statesOf(fn: PciFunctionOfSlot): States {
  const { command, powerState } = fn;
  return {
    'memory decode': (command & PCI_COMMAND_MEMORY) !== 0,
    'bus mastering': (command & PCI_COMMAND_MASTER) !== 0,
    power: powerState === 0,
  };
}
function entriesOf(states: States): [Switch, boolean][] {
  // cast: the keys of the record
  return Object.entries(states) as [Switch, boolean][];
}
