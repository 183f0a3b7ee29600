/**
 * The windows of a bridge: which addresses it passes on to the bus behind it (PCIe 7.5.1.3). Memory in MiB below 4 GiB,
 * prefetchable memory in MiB anywhere, I/O ports in pieces of 4 KiB below 64 KiB.
 */
import type { PciDeviceFunction } from '../../pci/function.ts';
import {
  PCI_IO_BASE,
  PCI_MEMORY_BASE,
  PCI_PREF_BASE_UPPER32,
  PCI_PREF_LIMIT_UPPER32,
  PCI_PREF_MEMORY_BASE,
} from '../../uapi/pci-regs.ts';

/** What a window is for. */
export type WindowKind = 'memory' | 'prefetchable' | 'io';
export const WINDOW_KINDS: readonly WindowKind[] = ['memory', 'prefetchable', 'io'];
/** Bytes: a window begins and ends at a multiple of it. */
export const WINDOW_STEP: Readonly<Record<WindowKind, number>> = {
  memory: 0x10_0000,
  prefetchable: 0x10_0000,
  io: 0x1000,
};

/** Bus addresses, `last` inclusive. */
export interface BusRange {
  readonly start: number;
  readonly last: number;
}

/** What has all of these in it; undefined: there are none. */
export function hull(ranges: readonly BusRange[]): BusRange | undefined {
  if (ranges.length === 0) return undefined;
  const start = Math.min(...ranges.map((range) => range.start));
  return { start, last: Math.max(...ranges.map(({ last }) => last)) };
}

/** Undefined: the window is closed. */
export function openWindow(fn: PciDeviceFunction, kind: WindowKind): BusRange | undefined {
  const step = WINDOW_STEP[kind];
  const [base, limit] = REGISTERS[kind].read(fn);
  return base > limit ? undefined : { start: base * step, last: (limit + 1) * step - 1 };
}
/** Exactly as large as must be; undefined closes it, by a base above the limit. */
export function setWindow(
  fn: PciDeviceFunction,
  kind: WindowKind,
  range: BusRange | undefined,
): void {
  const step = WINDOW_STEP[kind];
  const registers = REGISTERS[kind];
  if (!range) registers.write(fn, registers.closed, 0);
  else registers.write(fn, Math.floor(range.start / step), Math.floor(range.last / step));
}

/** Base and limit in steps of the window. */
interface WindowRegisters {
  read(fn: PciDeviceFunction): readonly [base: number, limit: number];
  write(fn: PciDeviceFunction, base: number, limit: number): void;
  /** A base above every limit of 0. */
  readonly closed: number;
}
const REGISTERS: Readonly<Record<WindowKind, WindowRegisters>> = {
  memory: {
    read: (fn) => halves(fn, PCI_MEMORY_BASE),
    write: (fn, base, limit) => fn.writeConfig(PCI_MEMORY_BASE, 4, pair(base, limit)),
    closed: 0xfff,
  },
  prefetchable: {
    read(fn) {
      const [base, limit] = halves(fn, PCI_PREF_MEMORY_BASE);
      const upper = (at: number): number => fn.readConfig(at, 4) * 0x1000;
      return [base + upper(PCI_PREF_BASE_UPPER32), limit + upper(PCI_PREF_LIMIT_UPPER32)];
    },
    write(fn, base, limit) {
      fn.writeConfig(PCI_PREF_MEMORY_BASE, 4, pair(base % 0x1000, limit % 0x1000));
      fn.writeConfig(PCI_PREF_BASE_UPPER32, 4, Math.floor(base / 0x1000));
      fn.writeConfig(PCI_PREF_LIMIT_UPPER32, 4, Math.floor(limit / 0x1000));
    },
    closed: 0xfff,
  },
  io: {
    read(fn) {
      const both = fn.readConfig(PCI_IO_BASE, 2);
      return [(both >> 4) & 0xf, both >> 12];
    },
    write: (fn, base, limit) => fn.writeConfig(PCI_IO_BASE, 2, (limit << 12) | (base << 4)),
    closed: 0xf,
  },
};
function halves(fn: PciDeviceFunction, at: number): readonly [number, number] {
  const both = fn.readConfig(at, 4);
  return [(both >>> 4) & 0xfff, both >>> 20];
}
function pair(base: number, limit: number): number {
  return (((limit << 4) << 16) | (base << 4)) >>> 0;
}
