/**
 * Can such a PCI function exist? What a device model says of its function against what configuration space, windows
 * and capabilities have room for (PCIe 7.5.1, 7.7.1, 7.7.2, 7.8.9, 9.3.3).
 */
import { BAR_PAGE, type PageRange } from '../../base/bar-memory.ts';
import type { BarSpec, PciIdentity } from '../../pci/identity.ts';
import { given } from './wording.ts';

/** What the windows of the platform have room for. */
const BAR_SIZES: Readonly<Record<BarSpec['kind'], { least: number; most: number }>> = {
  io: { least: 4, most: 256 },
  mem32: { least: 16, most: 2 ** 28 },
  mem64: { least: 16, most: 2 ** 36 },
};
const BARS = 6;

/** Inclusive ranges of the numbers of an identity. */
const RANGES = {
  vendor: [0, 0xffff],
  device: [0, 0xffff],
  revision: [0, 0xff],
  classCode: [0, 0xff_ffff],
  subsystemVendor: [0, 0xffff],
  subsystem: [0, 0xffff],
  interruptPin: [0, 4],
  msiVectors: [0, 32],
  pasidBits: [0, 20],
} as const satisfies Partial<Record<keyof PciIdentity, readonly [number, number]>>;

/** Everything that is wrong with it, in words. */
export function identityProblems(pci: PciIdentity): string[] {
  return [
    ...numberProblems(pci),
    ...barProblems(pci.bars),
    ...pagesProblems(pci.bars, pci.msix),
    ...capabilityProblems(pci),
    ...sriovProblems(pci),
  ];
}

function numberProblems(pci: PciIdentity): string[] {
  return Object.entries(RANGES).flatMap(([key, [min, max]]) => {
    // cast: Object.entries forgets that the keys are those of RANGES
    const value = pci[key as keyof typeof RANGES];
    if (value === undefined) return [];
    const fits = Number.isInteger(value) && value >= min && value <= max;
    return fits ? [] : [`${key} of a function is ${min} to ${max}, not ${given(value)}`];
  });
}

function barProblems(bars: readonly BarSpec[]): string[] {
  const taken = new Set<number>();
  return bars.flatMap((bar) => {
    const registers = bar.kind === 'mem64' ? [bar.index, bar.index + 1] : [bar.index];
    const twice = registers.some((n) => taken.has(n));
    for (const n of registers) taken.add(n);
    const problem = twice
      ? 'its register is taken by another'
      : (registersProblem(registers) ?? sizeProblem(bar));
    return problem === undefined ? [] : [`BAR ${bar.index}: ${problem}`];
  });
}

function registersProblem(registers: readonly number[]): string | undefined {
  const exists = registers.every((n) => Number.isInteger(n) && n >= 0 && n < BARS);
  return exists ? undefined : `the registers are 0 to ${BARS - 1}; a mem64 BAR takes two`;
}

function sizeProblem({ kind, size }: BarSpec): string | undefined {
  const { least, most } = BAR_SIZES[kind];
  if (!Number.isInteger(Math.log2(size)) || size < least) {
    return `the size of a ${kind} BAR is a power of two from ${least} on, not ${given(size)}`;
  }
  return size > most ? `at most ${most} bytes of ${kind}, not ${given(size)}` : undefined;
}

/** Pages of memory, which nothing else is in. */
function pagesProblems(bars: readonly BarSpec[], msix: PciIdentity['msix']): string[] {
  return bars.flatMap((bar) => {
    const { plain = [], shadow = [] } = bar;
    const problem = pagesProblem(
      bar,
      [...plain, ...shadow],
      msix?.bar === bar.index ? msix : undefined,
    );
    const names = [
      ...(plain.length > 0 ? ['plain'] : []),
      ...(shadow.length > 0 ? ['shadow'] : []),
    ];
    return problem === undefined
      ? []
      : [`${names.join(' and ')} pages of BAR ${bar.index}: ${problem}`];
  });
}
function pagesProblem(
  { kind, size }: BarSpec,
  ranges: readonly PageRange[],
  msix: PciIdentity['msix'],
): string | undefined {
  if (ranges.length > 0 && kind === 'io') return 'I/O space has none';
  let end = 0;
  for (const { offset, length } of ranges.toSorted((a, b) => a.offset - b.offset)) {
    const isPages = Number.isInteger(offset / BAR_PAGE) && Number.isInteger(length / BAR_PAGE);
    if (!isPages || length <= 0)
      return `whole pages of ${BAR_PAGE} bytes, not ${length} at ${offset}`;
    if (offset < end || offset + length > size) return 'they overlap, or leave the BAR';
    end = offset + length;
    if (msix && touches(msixSpans(msix), offset, end)) return 'MSI-X lies there';
  }
  return undefined;
}
function touches(spans: readonly Span[], start: number, end: number): boolean {
  return spans.some((span) => span.start < end && start < span.end);
}

function capabilityProblems(pci: PciIdentity): string[] {
  const problems: string[] = [];
  const vectors = pci.msiVectors ?? 0;
  if (vectors > 0 && !Number.isInteger(Math.log2(vectors))) {
    problems.push(`the number of MSI vectors is a power of two, not ${given(vectors)}`);
  }
  if (pci.msix) problems.push(...msixProblems(pci.msix, pci.bars));
  const extended = Object.entries({ PASIDs: pci.pasidBits, ATS: pci.ats, PRI: pci.pri });
  const asked = extended.filter(([, is]) => Boolean(is)).map(([name]) => name);
  if (!pci.pcie && asked.length > 0) {
    problems.push(`only a PCIe function has ${asked.join(', ')}, and this one is conventional`);
  } else if (pci.pri && !pci.ats) {
    problems.push('page requests (PRI) are part of ATS, which is off');
  }
  return problems;
}

/** A bus has so many functions. */
const FUNCTIONS_OF_BUS = 256;

function sriovProblems({ sriov, pcie }: PciIdentity): string[] {
  if (!sriov) return [];
  if (!pcie) return ['only a PCIe function has SR-IOV, and this one is conventional'];
  const { totalVfs, firstOffset, stride, device, bars } = sriov;
  const counts = { totalVfs, firstOffset, stride };
  const problems = Object.entries(counts).flatMap(([key, value]) =>
    Number.isInteger(value) && value >= 1 && value <= FUNCTIONS_OF_BUS
      ? []
      : [`${key} of SR-IOV is 1 to ${FUNCTIONS_OF_BUS}, not ${given(value)}`],
  );
  if (!Number.isInteger(device) || device < 0 || device > 0xffff) {
    problems.push(`the device id of virtual functions is 0 to 65535, not ${given(device)}`);
  }
  if (bars.some(({ kind }) => kind === 'io')) {
    problems.push('virtual functions have memory BARs only');
  }
  return [...problems, ...barProblems(bars).map((problem) => `of virtual functions: ${problem}`)];
}

/** A virtual function stands on the bus of its physical one, which is at `devfn` there. */
export function sriovPlaceProblem({ sriov }: PciIdentity, devfn: number): string | undefined {
  if (!sriov) return undefined;
  const last = devfn + sriov.firstOffset + (sriov.totalVfs - 1) * sriov.stride;
  if (last < FUNCTIONS_OF_BUS) return undefined;
  return `the last of ${sriov.totalVfs} virtual functions would stand beyond the end of the bus`;
}

/** Bytes of one entry of the table. */
const MSIX_ENTRY = 16;
const MSIX_MOST = 2048;

/** Half-open. */
interface Span {
  readonly start: number;
  readonly end: number;
}
/** The table, and the pending bits. */
function msixSpans({
  vectors,
  tableOffset,
  pbaOffset,
}: NonNullable<PciIdentity['msix']>): [Span, Span] {
  return [
    { start: tableOffset, end: tableOffset + vectors * MSIX_ENTRY },
    { start: pbaOffset, end: pbaOffset + Math.ceil(vectors / 64) * 8 },
  ];
}

function msixProblems(msix: NonNullable<PciIdentity['msix']>, bars: readonly BarSpec[]): string[] {
  const { vectors, bar } = msix;
  if (!Number.isInteger(vectors) || vectors < 1 || vectors > MSIX_MOST) {
    return [`MSI-X has 1 to ${MSIX_MOST} vectors, not ${given(vectors)}`];
  }
  const size = bars.find(({ index, kind }) => index === bar && kind !== 'io')?.size;
  if (size === undefined) return [`MSI-X is in BAR ${bar}, which is no memory BAR`];
  const [table, pending] = msixSpans(msix);
  const inside = [table, pending].every(({ start, end }) => start % 8 === 0 && end <= size);
  if (!inside)
    return [`table and pending bits of ${vectors} MSI-X vectors do not fit in BAR ${bar}`];
  const overlap = table.start < pending.end && pending.start < table.end;
  return overlap ? ['table and pending bits of MSI-X overlap'] : [];
}
