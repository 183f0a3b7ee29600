/**
 * The register page of a VT-d unit: offsets and capability words (formats.md 7, 11.1; VT-d 11.4).
 *
 * A driver and a unit share this page and RAM, nothing else.
 */
import { layout } from '../../base/bitfield.ts';

/** VT-d 11.4 lists them by offset. */
export const REG_VER = 0x00;
export const REG_CAP = 0x08;
export const REG_ECAP = 0x10;
export const REG_GCMD = 0x18;
export const REG_GSTS = 0x1c;
export const REG_RTADDR = 0x20;
export const REG_FSTS = 0x34;
export const REG_FECTL = 0x38;
export const REG_IQH = 0x80;
export const REG_IQT = 0x88;
export const REG_IQA = 0x90;
/** Page request queue: head, tail, address, status (VT-d 11.4.11). */
export const REG_PQH = 0xc0;
export const REG_PQT = 0xc8;
export const REG_PQA = 0xd0;
export const REG_PRS = 0xdc;
/** Where this unit puts its fault recording registers: CAP.FRO says so (VT-d 11.4.7.6). */
export const REG_FRCD = 0x400;

/** GCMD and GSTS: translation, root table pointer, queued invalidation (VT-d 11.4.4). */
export const GCMD_TE = 1 << 31;
export const GCMD_SRTP = 1 << 30;
export const GCMD_QIE = 1 << 26;

/** Faults: overflow, a record waits, the invalidation queue stopped (VT-d 11.4.7.1). */
export const FSTS_PFO = 1 << 0;
export const FSTS_PPF = 1 << 1;
export const FSTS_IQE = 1 << 4;

/** Page requests wait; one was lost because the queue was full. */
export const PRS_PPR = 1 << 0;
export const PRS_PRO = 1 << 1;

/** VT-d 11.4.5. */
export const rtaddr = layout('vtd_rtaddr', 64, { mode: [10, 11], address: [12, 63] });
export const RTADDR_LEGACY = 0;
export const RTADDR_SCALABLE = 1;
/** VT-d 11.4.9.3. */
export const iqa = layout('vtd_iqa', 64, { size: [0, 2], wide: [11, 11], address: [12, 63] });

/** VT-d 11.4.11.3. */
export const pqa = layout('vtd_pqa', 64, { size: [0, 4], address: [12, 63] });

/** VT-d 11.4.2. */
export const cap = layout('vtd_cap', 64, {
  nd: [0, 2],
  cm: [7, 7],
  sagaw: [8, 12],
  mgaw: [16, 21],
  zlr: [22, 22],
  fro: [24, 33],
  sslps: [34, 37],
  psi: [39, 39],
  nfr: [40, 47],
  mamv: [48, 53],
  dwd: [54, 54],
  drd: [55, 55],
  fs1gp: [56, 56],
  fs5lp: [60, 60],
});
/** VT-d 11.4.3. */
export const ecap = layout('vtd_ecap', 64, {
  c: [0, 0],
  qi: [1, 1],
  dt: [2, 2],
  pt: [6, 6],
  sc: [7, 7],
  nest: [26, 26],
  prs: [29, 29],
  srs: [31, 31],
  eafs: [34, 34],
  pss: [35, 39],
  pasid: [40, 40],
  smts: [43, 43],
  ssads: [45, 45],
  ssts: [46, 46],
  fsts: [47, 47],
  smpwcs: [48, 48],
});
