/**
 * What the bytes of a configuration space say of their function (PCIe 7.5.1, 7.5.3, 7.7, 7.8.9, 9.3.3, 10.5). Bytes come
 * from other people: chains may go in circles or lead nowhere, and what ends early says nothing more.
 */
import type {
  FoundBar,
  FoundCapabilities,
  FoundIds,
  FoundMsix,
  FoundPcie,
  FoundPcieKind,
  FoundSriov,
} from './found-function.ts';

/** The head that every function has. */
const HEADER = 64;
const CONVENTIONAL = 256;
const EXTENDED = 4096;
/** As many capabilities as there is room for: a chain that is longer goes in a circle. */
const MOST_CAPABILITIES = 48;
const MOST_EXTENDED = 480;

const HEADER_TYPE = 0x0e;
const BARS = 0x10;
const STATUS_HAS_CAPABILITIES = 0x10;

/** What one function says of itself. */
export interface ConfigFacts extends FoundIds {
  readonly pin: number;
  /** Without sizes: the bytes do not have them. */
  readonly bars: readonly FoundBar[];
  readonly bridge: { readonly secondary: number; readonly subordinate: number } | undefined;
  readonly capabilities: FoundCapabilities;
  readonly sees: { readonly capabilities: boolean; readonly extended: boolean };
}

/** Undefined: these are no 64 bytes of a header that a device or a PCI bridge has. */
export function configFacts(bytes: Uint8Array): ConfigFacts | undefined {
  if (bytes.length < HEADER) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const type = view.getUint8(HEADER_TYPE) & 0x7f;
  if (type > 1) return undefined;
  const standard = standardChain(view);
  const extended = extendedChain(view);
  const subsystem = subsystemAt(view, type, standard);
  // Where a chain is announced and none is read, the bytes behind the header were withheld.
  const capabilities = !announcesChain(view) || standard.size > 0;
  return {
    vendor: view.getUint16(0, true),
    device: view.getUint16(2, true),
    classCode: view.getUint32(8, true) >>> 8,
    revision: view.getUint8(8),
    subsystemVendor: subsystem === undefined ? 0 : view.getUint16(subsystem, true),
    subsystem: subsystem === undefined ? 0 : view.getUint16(subsystem + 2, true),
    pin: pinOf(view.getUint8(0x3d)),
    bars: barsOf(view, type === 0 ? 6 : 2),
    bridge:
      type === 1 ? { secondary: view.getUint8(0x19), subordinate: view.getUint8(0x1a) } : undefined,
    capabilities: capabilitiesOf(view, standard, extended),
    sees: { capabilities, extended: capabilities && view.byteLength >= EXTENDED },
  };
}

/** A bridge has the ids of its subsystem in a capability, if it has them. */
function subsystemAt(view: DataView, type: number, standard: Chain): number | undefined {
  if (type === 0) return 0x2c;
  const at = standard.get(0x0d)?.[0];
  return at === undefined || at + 8 > view.byteLength ? undefined : at + 4;
}

function pinOf(pin: number): number {
  return pin <= 4 ? pin : 0;
}

function barsOf(view: DataView, count: number): FoundBar[] {
  const bars: FoundBar[] = [];
  for (let index = 0; index < count; index++) {
    const low = view.getUint32(BARS + 4 * index, true);
    if (low === 0) continue;
    if (low & 1) {
      bars.push({ index, kind: 'io', prefetchable: false, size: undefined });
      continue;
    }
    const wide = (low & 6) === 4 && index + 1 < count;
    const prefetchable = (low & 8) !== 0;
    bars.push({ index, kind: wide ? 'mem64' : 'mem32', prefetchable, size: undefined });
    if (wide) index++;
  }
  return bars;
}

/** Offsets of capabilities by their id. */
type Chain = ReadonlyMap<number, readonly number[]>;

function announcesChain(view: DataView): boolean {
  return (view.getUint8(0x06) & STATUS_HAS_CAPABILITIES) !== 0;
}

function standardChain(view: DataView): Chain {
  const chain = new Map<number, number[]>();
  if (!announcesChain(view)) return chain;
  const end = Math.min(view.byteLength, CONVENTIONAL);
  let at = view.getUint8(0x34) & 0xfc;
  for (let n = 0; n < MOST_CAPABILITIES && at >= HEADER && at + 4 <= end; n++) {
    const id = view.getUint8(at);
    if (id === 0 || id === 0xff) break;
    chain.set(id, [...(chain.get(id) ?? []), at]);
    at = view.getUint8(at + 1) & 0xfc;
  }
  return chain;
}

function extendedChain(view: DataView): Chain {
  const chain = new Map<number, number[]>();
  const end = Math.min(view.byteLength, EXTENDED);
  let at = CONVENTIONAL;
  for (let n = 0; n < MOST_EXTENDED && at >= CONVENTIONAL && at + 4 <= end; n++) {
    const head = view.getUint32(at, true);
    if (head === 0 || head === 0xffff_ffff) break;
    const id = head & 0xffff;
    chain.set(id, [...(chain.get(id) ?? []), at]);
    at = (head >>> 20) & 0xffc;
  }
  return chain;
}

function capabilitiesOf(view: DataView, standard: Chain, extended: Chain): FoundCapabilities {
  const pcie = read(view, standard.get(0x10), 8, pcieOf);
  const msiVectors = read(view, standard.get(0x05), 4, msiOf);
  const msix = read(view, standard.get(0x11), 12, msixOf);
  const sriov = read(view, extended.get(0x10), 0x24, sriovOf);
  const pasidBits = read(
    view,
    extended.get(0x1b),
    8,
    (v, at) => v.getUint8(at + 5) & 0x1f || undefined,
  );
  const acs = read(
    view,
    extended.get(0x0d),
    8,
    (v, at) => (v.getUint16(at + 4, true) & 0x04) !== 0,
  );
  return {
    ...(pcie && { pcie }),
    ...(msiVectors !== undefined && { msiVectors }),
    ...(msix && { msix }),
    ...(sriov && { sriov }),
    ...(extended.has(0x0f) && { ats: true }),
    ...(extended.has(0x13) && { pri: true }),
    ...(pasidBits !== undefined && { pasidBits }),
    ...(acs !== undefined && { acs }),
  };
}

/** The first capability of an id, where all its bytes are there. */
function read<T>(
  view: DataView,
  offsets: readonly number[] | undefined,
  length: number,
  parse: (view: DataView, at: number) => T,
): T | undefined {
  const at = offsets?.[0];
  return at === undefined || at + length > view.byteLength ? undefined : parse(view, at);
}

/** By the device/port type of the capability. */
const PCIE_KINDS: Readonly<Record<number, FoundPcieKind>> = {
  0: 'endpoint',
  1: 'legacy-endpoint',
  4: 'root-port',
  5: 'upstream-port',
  6: 'downstream-port',
  7: 'pcie-to-pci-bridge',
  8: 'pci-to-pcie-bridge',
  9: 'rc-integrated',
  10: 'event-collector',
};

function pcieOf(view: DataView, at: number): FoundPcie | undefined {
  const kind = PCIE_KINDS[(view.getUint16(at + 2, true) >> 4) & 0xf];
  return kind && { kind, flr: (view.getUint32(at + 4, true) & 0x1000_0000) !== 0 };
}

function msiOf(view: DataView, at: number): number | undefined {
  const log2 = (view.getUint16(at + 2, true) >> 1) & 7;
  return log2 <= 5 ? 1 << log2 : undefined;
}

function msixOf(view: DataView, at: number): FoundMsix {
  const [table, pba] = [view.getUint32(at + 4, true), view.getUint32(at + 8, true)];
  return {
    vectors: (view.getUint16(at + 2, true) & 0x7ff) + 1,
    bar: table & 7,
    table: (table & ~7) >>> 0,
    pbaBar: pba & 7,
    pba: (pba & ~7) >>> 0,
  };
}

function sriovOf(view: DataView, at: number): FoundSriov {
  const word = (offset: number): number => view.getUint16(at + offset, true);
  return {
    totalVfs: word(0x0e),
    numVfs: word(0x08) & 1 ? word(0x10) : 0,
    offset: word(0x14),
    stride: word(0x16),
    device: word(0x1a),
  };
}
