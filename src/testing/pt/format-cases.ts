/** The page-table configurations every format suite runs over: one row per way a driver uses a format. */
import { amdv1, amdv1mock, riscv64, vtdss, x86_64 } from '../../pt/index.ts';
import {
  amdv1mockOracle,
  amdv1Oracle,
  riscvOracle,
  riscvX4Oracle,
  vtdssOracle,
  wideOracle,
  x86Oracle,
} from './format-oracle.ts';
import type { FormatCase } from './format-places.ts';
import { riscv64x4, wide } from './wide-format.ts';

const range = (from: number, to: number, but: readonly number[] = []) =>
  Array.from({ length: to - from + 1 }, (_, n) => from + n).filter((n) => !but.includes(n));

const hooks = { changeTop: () => undefined };

// prettier-ignore
export const CASES: readonly FormatCase[] = [
  { name: 'VT-d 39', format: vtdss, oracle: vtdssOracle, config: { vaLg2: 39, oaLg2: 52 }, sizes: [12, 21, 30], apertureLg2: 39 },
  { name: 'VT-d 48', format: vtdss, oracle: vtdssOracle, config: { vaLg2: 48, oaLg2: 46, features: ['force-coherent'] }, sizes: [12, 21, 30], apertureLg2: 48 },
  { name: 'VT-d 57 incoherent', format: vtdss, oracle: vtdssOracle, config: { vaLg2: 57, oaLg2: 52, features: ['dma-incoherent'], device: {} }, sizes: [12, 21, 30], apertureLg2: 57 },
  { name: 'VT-d 4 levels for 42 bits', format: vtdss, oracle: vtdssOracle, config: { vaLg2: 42, oaLg2: 52, topLevel: 3 }, sizes: [12, 21, 30], apertureLg2: 42 },
  { name: 'AMDv1 growing 64', format: amdv1, oracle: amdv1Oracle, config: { vaLg2: 64, oaLg2: 52, topLevel: 2, features: ['dynamic-top', 'flush-range-no-gaps'], hooks }, sizes: range(12, 51, [39]), apertureLg2: 64 },
  { name: 'AMDv1 growing 48', format: amdv1, oracle: amdv1Oracle, config: { vaLg2: 48, oaLg2: 48, topLevel: 1, features: ['dynamic-top', 'force-coherent'], hooks }, sizes: range(12, 46, [39]), apertureLg2: 48 },
  { name: 'AMDv1 fixed 4 levels', format: amdv1, oracle: amdv1Oracle, config: { vaLg2: 64, oaLg2: 52, topLevel: 3 }, sizes: range(12, 46, [39]), apertureLg2: 48 },
  { name: 'AMDv1 fixed 6 levels', format: amdv1, oracle: amdv1Oracle, config: { vaLg2: 64, oaLg2: 52, topLevel: 5 }, sizes: range(12, 51, [39]), apertureLg2: 64 },
  { name: 'mock AMDv1', format: amdv1mock, oracle: amdv1mockOracle, config: { vaLg2: 38, oaLg2: 51, topLevel: 2 }, sizes: range(11, 36), apertureLg2: 38 },
  { name: 'x86-64 48 signed', format: x86_64, oracle: x86Oracle, config: { vaLg2: 48, oaLg2: 52, features: ['sign-extend'] }, sizes: [12, 21, 30], apertureLg2: 47 },
  { name: 'x86-64 57 signed incoherent', format: x86_64, oracle: x86Oracle, config: { vaLg2: 57, oaLg2: 52, features: ['sign-extend', 'dma-incoherent'], device: {} }, sizes: [12, 21, 30], apertureLg2: 56 },
  { name: 'x86-64 47 (AMD v2)', format: x86_64, oracle: x86Oracle, config: { vaLg2: 47, oaLg2: 52 }, sizes: [12, 21, 30], apertureLg2: 47 },
  { name: 'x86-64 56 (AMD v2)', format: x86_64, oracle: x86Oracle, config: { vaLg2: 56, oaLg2: 52 }, sizes: [12, 21, 30], apertureLg2: 56 },
  { name: 'RISC-V Sv39', format: riscv64, oracle: riscvOracle, config: { vaLg2: 39, oaLg2: 56, features: ['sign-extend'] }, sizes: [12, 21, 30], apertureLg2: 38 },
  { name: 'RISC-V Sv48 Svnapot', format: riscv64, oracle: riscvOracle, config: { vaLg2: 48, oaLg2: 56, features: ['sign-extend', 'svnapot-64k', 'detailed-gather'] }, sizes: [12, 16, 21, 30, 39], apertureLg2: 47 },
  { name: 'RISC-V Sv57 Svpbmt', format: riscv64, oracle: riscvOracle, config: { vaLg2: 57, oaLg2: 56, features: ['sign-extend', 'memory-types'] }, sizes: [12, 21, 30, 39, 48], apertureLg2: 56 },
  { name: 'RISC-V Sv39x4', format: riscv64x4, oracle: riscvX4Oracle, config: { vaLg2: 41, oaLg2: 56 }, sizes: [12, 21, 30], apertureLg2: 41 },
  { name: 'RISC-V Sv48x4 Svnapot', format: riscv64x4, oracle: riscvX4Oracle, config: { vaLg2: 50, oaLg2: 56, features: ['svnapot-64k'] }, sizes: [12, 16, 21, 30, 39], apertureLg2: 50 },
  { name: '11 bits a level, 2 levels', format: wide, oracle: wideOracle, config: { vaLg2: 36, oaLg2: 48 }, sizes: [14, 21, 25], apertureLg2: 36 },
  { name: '11 bits a level, 3 levels', format: wide, oracle: wideOracle, config: { vaLg2: 47, oaLg2: 48 }, sizes: [14, 21, 25], apertureLg2: 47 },
  { name: '11 bits a level, a root of 64 KiB', format: wide, oracle: wideOracle, config: { vaLg2: 49, oaLg2: 48 }, sizes: [14, 21, 25], apertureLg2: 49 },
  { name: '11 bits a level, a longer root instead of a level', format: wide, oracle: wideOracle, config: { vaLg2: 38, oaLg2: 48 }, sizes: [14, 21, 25], apertureLg2: 38 },
];
