/** The indented lines that `lspci -vv` writes below a function, one after the other. Other lines say nothing of use. */
import { SIZE_UNITS } from '../../machine/description/block-sizes.ts';
import type { FoundBar, FoundCapabilities, FoundPcieKind } from './found-function.ts';

type Rule = readonly [
  pattern: RegExp,
  use: (details: LspciDetails, match: RegExpExecArray) => void,
];

/** What `lspci` calls a PCIe function; the first that fits. */
const PCIE_KINDS: readonly (readonly [name: string, kind: FoundPcieKind])[] = [
  ['Root Port', 'root-port'],
  ['Upstream Port', 'upstream-port'],
  ['Downstream Port', 'downstream-port'],
  ['PCI-Express to PCI/PCI-X Bridge', 'pcie-to-pci-bridge'],
  ['PCI/PCI-X to PCI-Express Bridge', 'pci-to-pcie-bridge'],
  ['Root Complex Integrated Endpoint', 'rc-integrated'],
  ['Root Complex Event Collector', 'event-collector'],
  ['Legacy Endpoint', 'legacy-endpoint'],
  ['Endpoint', 'endpoint'],
];

/** A number as lspci(8) writes it; 0 where there is none. */
export function fromHex(digits: string | undefined): number {
  return parseInt(digits ?? '0', 16);
}

/** Lines that belong to the function itself. */
const OWN: readonly Rule[] = [
  [
    /^Subsystem: .*?\[?([0-9a-f]{4}):([0-9a-f]{4})\]?$/,
    (d, [, vendor, id]) => {
      d.subsystemIds = { subsystemVendor: fromHex(vendor), subsystem: fromHex(id) };
    },
  ],
  [
    /^Interrupt: pin ([A-D])\b/,
    (d, [, pin = 'A']) => {
      d.pin = pin.charCodeAt(0) - 0x40;
    },
  ],
  [
    /^IOMMU group: (\d{1,10})$/,
    (d, [, group]) => {
      d.group = group;
    },
  ],
  [
    /^Bus: primary=[0-9a-f]{2}, secondary=([0-9a-f]{2}), subordinate=([0-9a-f]{2})/,
    (d, match) => {
      d.bridge = { secondary: fromHex(match[1]), subordinate: fromHex(match[2]) };
    },
  ],
  [
    /^Region ([0-5]): (I\/O ports|(?:\[virtual\] )?Memory) at (.*)$/,
    (d, match) => {
      d.bars.push(barOf(Number(match[1]), match[2] !== 'I/O ports', match[3] ?? ''));
    },
  ],
];
/** Of a driver, which comes last. */
const DRIVER: Rule = [
  /^Kernel driver in use: ([\w.-]{1,64})$/,
  (d, [, driver]) => {
    d.driver = driver;
  },
];

/** A capability begins, by its name. */
const CAPABILITIES: readonly Rule[] = [
  [
    /^MSI: .*?\bCount=\d+\/(\d+)/,
    (d, [, most]) => {
      const msiVectors = Number(most);
      if ([1, 2, 4, 8, 16, 32].includes(msiVectors)) d.know({ msiVectors });
    },
  ],
  [
    /^MSI-X: .*?\bCount=(\d+)/,
    (d, [, count]) => {
      d.know({ msix: { vectors: Number(count), bar: 0, table: 0, pbaBar: 0, pba: 0 } });
    },
  ],
  [
    /^Express (?:\(v\d\) )?(.*)$/,
    (d, [, rest = '']) => {
      const kind = PCIE_KINDS.find(([name]) => rest.startsWith(name))?.[1];
      if (kind) d.know({ pcie: { kind, flr: false } });
    },
  ],
  [/^Access Control Services/, (d) => d.know({ acs: false })],
  [/^Address Translation Service/, (d) => d.know({ ats: true })],
  [/^Page Request Interface/, (d) => d.know({ pri: true })],
  [
    /^Single Root I\/O Virtualization/,
    (d) => {
      d.know({ sriov: { totalVfs: 0, numVfs: 0, offset: 0, stride: 0, device: 0 } });
    },
  ],
];

/** Lines inside of a capability that was seen. */
const INSIDE: readonly Rule[] = [
  [
    /^Vector table: BAR=([0-5]) offset=([0-9a-f]{8})$/,
    (d, [, bar, offset]) => {
      const { msix } = d.capabilities;
      if (msix) d.know({ msix: { ...msix, bar: Number(bar), table: fromHex(offset) } });
    },
  ],
  [
    /^PBA: BAR=([0-5]) offset=([0-9a-f]{8})$/,
    (d, [, bar, offset]) => {
      const { msix } = d.capabilities;
      if (msix) d.know({ msix: { ...msix, pbaBar: Number(bar), pba: fromHex(offset) } });
    },
  ],
  [
    /\bFLReset\+/,
    (d) => {
      const { pcie } = d.capabilities;
      if (pcie) d.know({ pcie: { ...pcie, flr: true } });
    },
  ],
  [/^ACSCap:.*\bReqRedir\+/, (d) => d.know({ acs: true })],
  [
    /^PASIDCap:.*\bMax PASID Width: ([0-9a-f]{2})$/,
    (d, [, width]) => {
      const pasidBits = fromHex(width);
      if (pasidBits >= 1 && pasidBits <= 20) d.know({ pasidBits });
    },
  ],
  [
    /^Initial VFs: \d+, Total VFs: (\d+), Number of VFs: (\d+)/,
    (d, [, total, number]) => {
      const { sriov } = d.capabilities;
      if (sriov) d.know({ sriov: { ...sriov, totalVfs: Number(total), numVfs: Number(number) } });
    },
  ],
  [
    /^VF offset: (\d+), stride: (\d+), Device ID: ([0-9a-f]{4})/,
    (d, [, offset, stride, id]) => {
      const { sriov } = d.capabilities;
      if (!sriov) return;
      d.know({
        sriov: { ...sriov, offset: Number(offset), stride: Number(stride), device: fromHex(id) },
      });
    },
  ],
];

/** What the lines of one function have said so far. */
export class LspciDetails {
  subsystemIds = { subsystemVendor: 0, subsystem: 0 };
  pin = 0;
  group: string | undefined;
  driver: string | undefined;
  bridge: { readonly secondary: number; readonly subordinate: number } | undefined;
  readonly bars: FoundBar[] = [];
  capabilities: FoundCapabilities = {};
  sees = { capabilities: false, extended: false };
  isEmpty = true;
  #inside = false;

  /** Take one line, without what it is indented by. A line that cannot be used is answered with what is wrong with it. */
  add(line: string): string | undefined {
    this.isEmpty = false;
    const capability = /^Capabilities: (?:\[([0-9a-f]+)( v\d+)?\] )?(.*)$/.exec(line);
    if (capability) {
      this.#capability(capability);
      return undefined;
    }
    if (!this.#inside && /^(?:Memory|I\/O ports) at /.test(line)) {
      return 'a BAR without its number: lspci -vvnn, with two v, writes it';
    }
    this.#use(this.#inside ? [...INSIDE, DRIVER] : [...OWN, DRIVER], line);
    return undefined;
  }

  /** One more capability, or more of one. */
  know(more: FoundCapabilities): void {
    this.capabilities = { ...this.capabilities, ...more };
  }

  #capability([, offset, version, name = '']: RegExpExecArray): void {
    if (offset === undefined) return; // <access denied>
    this.#inside = true;
    this.sees = { capabilities: true, extended: this.sees.extended || version !== undefined };
    this.#use(CAPABILITIES, name);
  }

  #use(rules: readonly Rule[], line: string): void {
    for (const [pattern, use] of rules) {
      const match = pattern.exec(line);
      if (!match) continue;
      use(this, match);
      return;
    }
  }
}

function barOf(index: number, memory: boolean, rest: string): FoundBar {
  const size = /\[size=(\d{1,6})([KMGT]?)\]/.exec(rest);
  const wide = rest.includes('(64-bit');
  return {
    index,
    kind: memory ? (wide ? 'mem64' : 'mem32') : 'io',
    prefetchable: memory && /(?<!non-)prefetchable\)/.test(rest),
    size: size ? Number(size[1]) * SIZE_UNITS[size[2]!]! : undefined,
  };
}
