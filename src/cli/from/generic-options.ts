/**
 * The options of a `generic` device that make it look like a function of a real machine, and what of the function they
 * cannot say, in words.
 */
import type { OptionTable, OptionValues } from '../../base/options.ts';
import { functionOfBus } from './buses.ts';
import type { FoundBar, FoundFunction, FoundMsix } from './found-function.ts';

/** Options, and remarks for the reader of the file. */
export interface GenericLook {
  readonly options: OptionValues;
  readonly remarks: readonly string[];
}

/** What the windows of the simulated platform have room for, in bytes. */
const MOST: Readonly<Record<FoundBar['kind'], number>> = {
  io: 256,
  mem32: 2 ** 28,
  mem64: 2 ** 36,
};
const LEAST: Readonly<Record<FoundBar['kind'], number>> = { io: 4, mem32: 16, mem64: 16 };

const PENDING_ALIGNMENT = 8;
const MSIX_ENTRY = 16;

interface SizedBar extends FoundBar {
  readonly size: number;
}

/** `table` are the options that `generic` has: those at their defaults are not said. */
export function genericLook(found: FoundFunction, table: OptionTable): GenericLook {
  const remarks: string[] = [];
  const bars = sizedBars(found, remarks);
  const all = {
    ...ids(found),
    bar_size: bars.length > 0 ? table['bar_size']!.default! : 0,
    bars: bars.map(barText).join(','),
    interrupt_pin: found.pin,
    ...interrupts(found, bars, remarks),
    ...express(found, remarks),
  };
  const { vendor, device, class: classCode, ...rest } = all;
  const said = Object.entries(rest).filter(([key, value]) => value !== table[key]?.default);
  return { options: { vendor, device, class: classCode, ...Object.fromEntries(said) }, remarks };
}

function ids(found: FoundFunction) {
  return {
    vendor: found.vendor,
    device: found.device,
    class: found.classCode,
    revision: found.revision,
    subsystem_vendor: found.subsystemVendor,
    subsystem: found.subsystem,
  };
}

function barText({ index, kind, prefetchable, size }: SizedBar): string {
  return `${index}:${kind}${prefetchable ? 'p' : ''}:0x${size.toString(16)}`;
}

/** BARs of sizes that can be had. */
function sizedBars(found: FoundFunction, remarks: string[]): SizedBar[] {
  return found.bars.map((bar) => {
    const { index, kind } = bar;
    if (bar.size === undefined) {
      const size = assumedSize(bar, found.capabilities.msix);
      remarks.push(`the size of BAR ${index} is not said; ${size} bytes are assumed`);
      return { ...bar, size };
    }
    const size = Math.min(Math.max(2 ** Math.ceil(Math.log2(bar.size)), LEAST[kind]), MOST[kind]);
    if (size !== bar.size) remarks.push(`BAR ${index} has ${bar.size} bytes; ${size} are made`);
    return { ...bar, size };
  });
}

/** A page, or what holds the table of MSI-X. */
function assumedSize({ index, kind }: FoundBar, msix: FoundMsix | undefined): number {
  if (kind === 'io') return 32;
  const ends = msix
    ? [
        ...(msix.bar === index ? [msix.table + msix.vectors * MSIX_ENTRY] : []),
        ...(msix.pbaBar === index ? [msix.pba + pendingLength(msix)] : []),
      ]
    : [];
  return Math.min(2 ** Math.ceil(Math.log2(Math.max(0x1000, ...ends))), MOST[kind]);
}

function pendingLength({ vectors }: FoundMsix): number {
  return Math.ceil(vectors / 64) * PENDING_ALIGNMENT;
}

function interrupts(found: FoundFunction, bars: readonly SizedBar[], remarks: string[]) {
  const { msiVectors = 0, msix } = found.capabilities;
  const none = { msi_vectors: msiVectors, msix_vectors: 0 };
  if (!msix) return none;
  const size = bars.find(({ index, kind }) => index === msix.bar && kind !== 'io')?.size ?? 0;
  const tableEnd = msix.table + msix.vectors * MSIX_ENTRY;
  const together = msix.pbaBar === msix.bar;
  const pba = together ? msix.pba : tableEnd;
  if (Math.max(tableEnd, pba + pendingLength(msix)) > size) {
    remarks.push(`MSI-X with ${msix.vectors} vectors: its BAR ${msix.bar} has no room for it`);
    return none;
  }
  if (!together)
    remarks.push('the pending bits of MSI-X are in a BAR of their own; here in that of the table');
  return {
    msi_vectors: msiVectors,
    msix_vectors: msix.vectors,
    msix_bar: msix.bar,
    msix_table: msix.table,
    msix_pba: pba,
  };
}

const ENDPOINTS = ['endpoint', 'legacy-endpoint', 'rc-integrated'];
/** What `generic` can have. */
const MOST_VFS = 64;
/** A virtual function stands on the bus of its physical one. */
const FUNCTIONS_OF_BUS = 256;

function express(found: FoundFunction, remarks: string[]) {
  const { pcie, ats = false, pri = false, pasidBits = 0 } = found.capabilities;
  if (!pcie) return { pcie: false };
  return {
    pcie_kind: ENDPOINTS.includes(pcie.kind) ? pcie.kind : 'rc-integrated',
    flr: pcie.flr,
    ats,
    pri: ats && pri,
    pasid_bits: pasidBits,
    ...virtualFunctions(found, remarks),
  };
}

function virtualFunctions(found: FoundFunction, remarks: string[]) {
  const { totalVfs, offset, stride, device } = found.capabilities.sriov ?? NO_VFS;
  if (totalVfs === 0) return {};
  const first = functionOfBus(found.at) + offset;
  const room = Math.floor((FUNCTIONS_OF_BUS - 1 - first) / Math.max(stride, 1)) + 1;
  const vfs = Math.max(Math.min(totalVfs, MOST_VFS, room), 0);
  if (vfs !== totalVfs) remarks.push(`${totalVfs} virtual functions are possible; here ${vfs}`);
  if (vfs === 0) return {};
  return { vfs, vf_device: device, vf_offset: offset, vf_stride: Math.max(stride, 1) };
}
const NO_VFS = { totalVfs: 0, offset: 0, stride: 0, device: 0 };
