/** Golden words, worked out by hand from the tables of formats.md 2 to 5. */
import { describe, expect, test } from 'vitest';
import { hex } from '../../base/u64.ts';
import {
  amdv1,
  amdv1mock,
  riscv64,
  vtdss,
  x86_64,
  type PtConfig,
  type PtFormat,
} from '../index.ts';
import { done, must } from '../../testing/base/must.ts';
import { newTable } from '../../testing/pt/rig.ts';

/** Raw entries from the top down; frame 1 is the top table, 2 the next, and so on. */
function entries(
  format: PtFormat,
  config: PtConfig,
  map: { iova: bigint; pa: bigint; size: bigint; prot: number },
): string[] {
  const { pt } = newTable(format, config);
  const granules = (address: bigint) => Number(address >> BigInt(format.granuleLg2));
  done(pt.map(granules(map.iova), granules(map.pa), granules(map.size), map.prot));
  return must(pt.walk(map.iova)).map(({ entry }) => hex(entry));
}

const K = 1024n;
const M = K * K;
const G = M * K;
const vtd: PtConfig = { vaLg2: 39, oaLg2: 52 };
const amd: PtConfig = { vaLg2: 48, oaLg2: 52, topLevel: 3 };
const mock: PtConfig = { vaLg2: 38, oaLg2: 51, topLevel: 2 };
const x86: PtConfig = { vaLg2: 48, oaLg2: 52, features: ['sign-extend'] };
const sv39: PtConfig = { vaLg2: 39, oaLg2: 56, features: ['sign-extend', 'svnapot-64k'] };
const PA = 0x000a_bcde_f012_3000n;

describe('golden words', () => {
  // prettier-ignore
  test.each<[string, PtFormat, PtConfig, bigint, bigint, bigint, number, string[]]>([
    ['VT-d 4K read-write', vtdss, vtd, 0x1000n, PA, 4n * K, 3, ['0x2003', '0x3003', '0xabcdef0123003']],
    ['VT-d 4K read-only', vtdss, vtd, 0x1000n, PA, 4n * K, 1, ['0x2003', '0x3003', '0xabcdef0123001']],
    ['VT-d 2M write-only', vtdss, vtd, 2n * M, 6n * M, 2n * M, 2, ['0x2003', '0x600082']],
    ['VT-d 1G snooped', vtdss, { ...vtd, features: ['force-coherent'] }, G, 3n * G, G, 3, ['0xc0000883']],
    ['VT-d incoherent', vtdss, { ...vtd, features: ['dma-incoherent'], device: {} }, 0n, 0x5000n, 4n * K, 3, ['0x2403', '0x3403', '0x5003']],
    // PR 1, next level << 9, IR bit 61, IW bit 62.
    ['AMDv1 4K', amdv1, amd, 0n, PA, 4n * K, 3, ['0x6000000000002601', '0x6000000000003401', '0x6000000000004201', '0x600abcdef0123001']],
    ['AMDv1 8K: bit 12 zero', amdv1, amd, 0n, 0x4000n, 8n * K, 1, ['0x6000000000002601', '0x6000000000003401', '0x6000000000004201', '0x2000000000004e01']],
    ['AMDv1 16K: bits 13:12 = 01', amdv1, amd, 0n, 0x4000n, 16n * K, 1, ['0x6000000000002601', '0x6000000000003401', '0x6000000000004201', '0x2000000000005e01']],
    ['AMDv1 64K: bits 15:12 = 0111', amdv1, amd, 0n, 0x10000n, 64n * K, 2, ['0x6000000000002601', '0x6000000000003401', '0x6000000000004201', '0x4000000000017e01']],
    ['AMDv1 2M, force-coherent', amdv1, { ...amd, features: ['force-coherent'] }, 0n, 2n * M, 2n * M, 3, ['0x6000000000002601', '0x6000000000003401', '0x7000000000200001']],
    ['AMDv1 4M: nine ones, bit 21 zero', amdv1, amd, 0n, 4n * M, 4n * M, 1, ['0x6000000000002601', '0x6000000000003401', '0x20000000005ffe01']],
    ['AMDv1 256G: 25 ones, bit 37 zero', amdv1, amd, 0n, 256n * G, 256n * G, 1, ['0x6000000000002601', '0x2000005ffffffe01']],
    // OA field = address >> 11: frame 2 is 0x2000 >> 11 = 4, at bit 12.
    ['mock 2K', amdv1mock, mock, 0n, 0x1800n, 2n * K, 3, ['0x6000000000004401', '0x6000000000006201', '0x6000000000003001']],
    ['mock 4K', amdv1mock, mock, 0n, 0x1000n, 4n * K, 3, ['0x6000000000004401', '0x6000000000006201', '0x6000000000002e01']],
    ['mock 1M', amdv1mock, mock, 0n, M, M, 3, ['0x6000000000004401', '0x6000000000200001']],
    ['x86 4K read-write', x86_64, x86, 0n, PA, 4n * K, 3, ['0x2027', '0x3027', '0x4027', '0xabcdef0123067']],
    ['x86 4K read-only', x86_64, x86, 0n, PA, 4n * K, 1, ['0x2027', '0x3027', '0x4027', '0xabcdef0123025']],
    ['x86 2M', x86_64, x86, 0xffff_8000_0000_0000n, 2n * M, 2n * M, 1, ['0x2027', '0x3027', '0x2000a5']],
    ['x86 incoherent', x86_64, { ...x86, features: ['sign-extend', 'dma-incoherent'], device: {} }, 0n, 0n, 4n * K, 1, ['0x2227', '0x3227', '0x4227', '0x25']],
    // PPN at bit 10: 0x2000 >> 12 << 10 = 0x800.
    ['RISC-V 4K read-write', riscv64, sv39, 0n, 0x5000n, 4n * K, 3, ['0x801', '0xc01', '0x14df']],
    ['RISC-V 4K read, no execute', riscv64, sv39, 0n, 0x5000n, 4n * K, 9, ['0x801', '0xc01', '0x1453']],
    ['RISC-V 64K: N and PPN 1000b', riscv64, sv39, 0n, 0x20000n, 64n * K, 3, ['0x801', '0xc01', '0x800000000000a0df']],
    ['RISC-V 1G', riscv64, sv39, 0n, G, G, 1, ['0x1000005b']],
    ['RISC-V not cacheable: NC', riscv64, { ...sv39, features: ['sign-extend', 'memory-types'] }, 0n, G, G, 1, ['0x200000001000005b']],
    ['RISC-V MMIO: IO', riscv64, { ...sv39, features: ['sign-extend', 'memory-types'] }, 0n, G, G, 17, ['0x400000001000005b']],
    ['RISC-V 56-bit output', riscv64, sv39, 0n, 0xff_ffff_ffff_f000n, 4n * K, 1, ['0x801', '0xc01', '0x3ffffffffffc5b']],
  ])('%s is the golden word worked out by hand', (...row) => {
    const [, format, config, iova, pa, size, prot, words] = row;
    expect(entries(format, config, { iova, pa, size, prot })).toEqual(words);
  });
});
