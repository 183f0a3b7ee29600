/**
 * The page-table formats a second time, slowly: bigint words straight from formats.md 1 to 5, as the oracle of src/pt.
 *
 * Shares no code with the engine but the protection bits' names.
 */
import { bit, mask } from '../../base/u64.ts';
import type { Oracle, OracleLeaf } from './oracle-walk.ts';
import { IOMMU_CACHE, IOMMU_MMIO, IOMMU_NOEXEC, IOMMU_READ, IOMMU_WRITE } from '../../pt/index.ts';

const ADDRESS = mask(51, 12);

/** FIELD_GET(). */
function fieldGet(m: bigint, word: bigint): bigint {
  return (word & m) / (m & -m);
}
/** FIELD_PREP(). */
function fieldPrep(m: bigint, value: bigint): bigint {
  return (value * (m & -m)) & m;
}

const naturalLg2 = (granuleLg2: number, level: number) => granuleLg2 + 9 * level;

/** VT-d second stage and x86-64 share the leaf rule: level 0, or PS. */
function psDecode(entry: bigint, level: number): OracleLeaf {
  return { pa: entry & ADDRESS, sizeLg2: naturalLg2(12, level) };
}

export const vtdssOracle: Oracle = {
  granuleLg2: 12,
  kind: (entry, level) =>
    entry === 0n ? 'empty' : level === 0 || entry & bit(7) ? 'leaf' : 'table',
  tablePa: (entry) => entry & ADDRESS,
  decode: psDecode,
  leaf: ({ pa }, level, prot, flags) =>
    pa |
    (prot & IOMMU_READ ? bit(0) : 0n) |
    (prot & IOMMU_WRITE ? bit(1) : 0n) |
    (level > 0 ? bit(7) : 0n) |
    (flags.has('force-coherent') ? bit(11) : 0n),
  table: (pa, _level, flags) => pa | bit(0) | bit(1) | (flags.has('dma-incoherent') ? bit(10) : 0n),
};

export const x86Oracle: Oracle = {
  granuleLg2: 12,
  kind: (entry, level) =>
    !(entry & bit(0)) ? 'empty' : level === 0 || entry & bit(7) ? 'leaf' : 'table',
  tablePa: (entry) => entry & ADDRESS,
  decode: psDecode,
  leaf: ({ pa }, level, prot) =>
    pa |
    bit(0) |
    bit(2) |
    bit(5) |
    (prot & IOMMU_WRITE ? bit(1) | bit(6) : 0n) |
    (level > 0 ? bit(7) : 0n),
  table: (pa, _level, flags) =>
    pa | bit(0) | bit(1) | bit(2) | bit(5) | (flags.has('dma-incoherent') ? bit(9) : 0n),
};

function amd(granuleLg2: number): Oracle {
  const next = mask(11, 9);
  const address = (entry: bigint) => fieldGet(ADDRESS, entry) << BigInt(granuleLg2);
  const field = (pa: bigint) => fieldPrep(ADDRESS, pa >> BigInt(granuleLg2));
  return {
    granuleLg2,
    kind(entry, level) {
      if (!(entry & bit(0))) return 'empty';
      const nextLevel = fieldGet(next, entry);
      return level === 0 || nextLevel === 0n || nextLevel === 7n ? 'leaf' : 'table';
    },
    tablePa: address,
    decode(entry, level) {
      if (fieldGet(next, entry) !== 7n) {
        return { pa: address(entry), sizeLg2: naturalLg2(granuleLg2, level) };
      }
      let zero = 0;
      while (fieldGet(ADDRESS, entry) & bit(zero)) zero++;
      const sizeLg2 = granuleLg2 + zero + 1;
      return { pa: (address(entry) >> BigInt(sizeLg2)) << BigInt(sizeLg2), sizeLg2 };
    },
    leaf({ pa, sizeLg2 }, level, prot, flags) {
      const rights =
        bit(0) |
        (prot & IOMMU_READ ? bit(61) : 0n) |
        (prot & IOMMU_WRITE ? bit(62) : 0n) |
        (flags.has('force-coherent') ? bit(60) : 0n);
      if (sizeLg2 === naturalLg2(granuleLg2, level)) return rights | field(pa);
      const code = bit(sizeLg2 - granuleLg2 - 1) - 1n;
      return rights | fieldPrep(next, 7n) | field(pa) | fieldPrep(ADDRESS, code);
    },
    table: (pa, level) => field(pa) | bit(0) | fieldPrep(next, BigInt(level)) | bit(61) | bit(62),
  };
}
export const amdv1Oracle = amd(12);
export const amdv1mockOracle = amd(11);

const PPN = mask(53, 10);
export const riscvOracle: Oracle = {
  granuleLg2: 12,
  kind(entry, level) {
    if (!(entry & bit(0))) return 'empty';
    return level === 0 || entry & (bit(1) | bit(2) | bit(3)) ? 'leaf' : 'table';
  },
  tablePa: (entry) => fieldGet(PPN, entry) << 12n,
  decode(entry, level) {
    const address = fieldGet(PPN, entry) << 12n;
    if (entry & bit(63)) return { pa: (address >> 16n) << 16n, sizeLg2: 16 };
    return { pa: address, sizeLg2: naturalLg2(12, level) };
  },
  leaf({ pa, sizeLg2 }, _level, prot, flags) {
    let word = fieldPrep(PPN, pa >> 12n) | bit(0) | bit(4) | bit(6);
    if (prot & IOMMU_WRITE) word |= bit(1) | bit(2) | bit(7);
    if (prot & IOMMU_READ) word |= bit(1);
    if (!(prot & IOMMU_NOEXEC)) word |= bit(3);
    if (sizeLg2 === 16) word |= bit(63) | bit(13);
    if (!flags.has('memory-types')) return word;
    if (prot & IOMMU_MMIO) return word | bit(62);
    return prot & IOMMU_CACHE ? word : word | bit(61);
  },
  table: (pa) => fieldPrep(PPN, pa >> 12n) | bit(0),
};

/** RISC-V guest physical addresses: two more bits in the top table. */
export const riscvX4Oracle: Oracle = { ...riscvOracle, rootBits: 2 };

const WIDE_ADDRESS = mask(47, 14);
/** The format of wide-format.ts. */
export const wideOracle: Oracle = {
  granuleLg2: 14,
  levelBits: 11,
  rootBits: 2,
  kind: (entry, level) =>
    !(entry & bit(0)) ? 'empty' : level === 0 || !(entry & bit(1)) ? 'leaf' : 'table',
  tablePa: (entry) => entry & WIDE_ADDRESS,
  decode(entry, level) {
    const sizeLg2 = entry & bit(52) ? 21 : 14 + 11 * level;
    return { pa: ((entry & WIDE_ADDRESS) >> BigInt(sizeLg2)) << BigInt(sizeLg2), sizeLg2 };
  },
  leaf: ({ pa, sizeLg2 }, _level, prot) =>
    pa |
    bit(0) |
    (prot & IOMMU_READ ? bit(6) : 0n) |
    (prot & IOMMU_WRITE ? bit(7) : 0n) |
    (sizeLg2 === 21 ? bit(52) : 0n),
  table: (pa) => pa | bit(0) | bit(1),
};
