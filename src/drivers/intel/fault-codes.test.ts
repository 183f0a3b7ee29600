import { describe, expect, it } from 'vitest';
import type { IntelUnitConfig } from './driver/driver.ts';
import { faultReason } from './fault-codes.ts';
import { GCMD_QIE, GCMD_SRTP, GCMD_TE, REG_GCMD, REG_RTADDR } from './registers.ts';
import {
  legacyContext,
  legacyRoot,
  pasidDirectory,
  pasidEntry,
  scalableContext,
  scalableRoot,
} from './words.ts';

import { scene, SCENE_RID as RID, type Scene, flushAll } from '../../testing/drivers/intel-rig.ts';

const LEGACY: IntelUnitConfig = { scalable: false };
const SECOND: IntelUnitConfig = { firstStage: false };

const BEYOND = 0xf_ffff_ffff;
interface FaultCase {
  readonly code: number;
  readonly why: string;
  readonly config: IntelUnitConfig;
  readonly device?: object;
  readonly spoil: (scene: Scene) => void;
  readonly iovaG?: number;
  readonly write?: boolean;
  readonly pasid?: number;
}

function spoilRoot(s: Scene, mode: number, frame?: number): void {
  const unit = s.rig.handle.unit;
  const pfn = frame ?? unit.read32(REG_RTADDR) >>> 12;
  unit.write32(REG_RTADDR, ((pfn << 12) | (mode << 10)) >>> 0);
  unit.write32(REG_GCMD, GCMD_SRTP | GCMD_TE | GCMD_QIE);
}

const NOTHING = (): void => undefined;

const LEGACY_FAULTS: Omit<FaultCase, 'config'>[] = [
  { code: 0x01, why: 'root P clear', spoil: (s) => legacyRoot.p.set(s.words, s.root, 0) },
  { code: 0x02, why: 'context P clear', spoil: (s) => legacyContext.p.set(s.words, s.context, 0) },
  { code: 0x03, why: 'T 3', spoil: (s) => legacyContext.t.set(s.words, s.context, 3) },
  {
    code: 0x03,
    why: 'AW 57 unsupported',
    spoil: (s) => legacyContext.aw.set(s.words, s.context, 3),
  },
  { code: 0x04, why: 'address of 49 bits', spoil: NOTHING, iovaG: 2 ** 36 },
  { code: 0x05, why: 'W clear', spoil: (s) => void (s.words[s.leaf]! &= ~2), write: true },
  { code: 0x06, why: 'R clear', spoil: (s) => void (s.words[s.leaf]! &= ~1) },
  { code: 0x06, why: 'nothing mapped', spoil: NOTHING, iovaG: 2 },
  { code: 0x07, why: 'table beyond memory', spoil: (s) => void (s.words[s.top + 1]! |= 0xf_0000) },
  { code: 0x08, why: 'root table beyond memory', spoil: (s) => spoilRoot(s, 0, 0xf_fff0) },
  {
    code: 0x09,
    why: 'context table beyond memory',
    spoil: (s) => legacyRoot.contextTable.set(s.words, s.root, BEYOND),
  },
  { code: 0x0a, why: 'reserved bit of the root', spoil: (s) => void (s.words[s.root]! |= 2) },
  {
    code: 0x0b,
    why: 'reserved bit of the context',
    spoil: (s) => void (s.words[s.context + 3]! |= 1),
  },
  { code: 0x0c, why: 'PS in the top table', spoil: (s) => void (s.words[s.top]! |= 0x80) },
  { code: 0x0d, why: 'T 0 and ATS on', spoil: (s) => s.rig.handle.unit.ats.setAts(RID, true) },
  { code: 0x31, why: 'PASID in legacy mode', spoil: NOTHING, pasid: 3 },
  { code: 0x30, why: 'scalable mode on a legacy unit', spoil: (s) => spoilRoot(s, 1) },
  { code: 0x06, why: 'read of the interrupt range', spoil: NOTHING, iovaG: 0xfee00 },
];

const SCALABLE_FAULTS: Omit<FaultCase, 'config'>[] = [
  { code: 0x38, why: 'root table beyond memory', spoil: (s) => spoilRoot(s, 1, 0xf_fff0) },
  { code: 0x39, why: 'LP clear', spoil: (s) => scalableRoot.lp.set(s.words, s.root, 0) },
  { code: 0x3a, why: 'reserved bit of the root', spoil: (s) => void (s.words[s.root]! |= 2) },
  {
    code: 0x40,
    why: 'context table beyond memory',
    spoil: (s) => scalableRoot.lowerTable.set(s.words, s.root, BEYOND),
  },
  {
    code: 0x41,
    why: 'context P clear',
    spoil: (s) => scalableContext.p.set(s.words, s.context, 0),
  },
  {
    code: 0x42,
    why: 'reserved bit of the context',
    spoil: (s) => void (s.words[s.context + 7]! |= 1),
  },
  {
    code: 0x44,
    why: 'DTE clear and ATS on',
    spoil: (s) => s.rig.handle.unit.ats.setAts(RID, true),
  },
  { code: 0x45, why: 'PASIDE clear', spoil: NOTHING, pasid: 3 },
  {
    code: 0x46,
    why: 'PASID beyond the directory',
    spoil: (s) => scalableContext.paside.set(s.words, s.context, 1),
    pasid: 0x2000,
  },
  {
    code: 0x48,
    why: 'RID_PASID beyond the directory',
    spoil: (s) => scalableContext.rid_pasid.set(s.words, s.context, 0x2000),
  },
  {
    code: 0x50,
    why: 'directory beyond memory',
    spoil: (s) => scalableContext.pasiddirptr.set(s.words, s.context, BEYOND),
  },
  { code: 0x51, why: 'directory P clear', spoil: (s) => pasidDirectory.p.set(s.words, s.dir, 0) },
  { code: 0x52, why: 'reserved bit of the directory', spoil: (s) => void (s.words[s.dir]! |= 4) },
  {
    code: 0x58,
    why: 'PASID table beyond memory',
    spoil: (s) => pasidDirectory.table.set(s.words, s.dir, BEYOND),
  },
  { code: 0x59, why: 'PASID P clear', spoil: (s) => pasidEntry.p.set(s.words, s.pasid, 0) },
  {
    code: 0x5a,
    why: 'reserved bit of the PASID',
    spoil: (s) => void (s.words[s.pasid + 15]! |= 1),
  },
  { code: 0x5b, why: 'PGTT 0', spoil: (s) => pasidEntry.pgtt.set(s.words, s.pasid, 0) },
  { code: 0x87, why: 'read of the interrupt range', spoil: NOTHING, iovaG: 0xfee42 },
];

const SECOND_FAULTS: Omit<FaultCase, 'config'>[] = [
  { code: 0x5b, why: 'AW unsupported', spoil: (s) => pasidEntry.aw.set(s.words, s.pasid, 3) },
  { code: 0x78, why: 'table beyond memory', spoil: (s) => void (s.words[s.top + 1]! |= 0xf_0000) },
  { code: 0x79, why: 'W clear', spoil: (s) => void (s.words[s.leaf]! &= ~2), write: true },
  { code: 0x79, why: 'nothing mapped', spoil: NOTHING, iovaG: 2 },
  { code: 0x7a, why: 'PS in the top table', spoil: (s) => void (s.words[s.top]! |= 0x80) },
  {
    code: 0x7b,
    why: 'root beyond memory',
    spoil: (s) => pasidEntry.ssptptr.set(s.words, s.pasid, BEYOND),
  },
  { code: 0x84, why: 'address of 49 bits', spoil: NOTHING, iovaG: 2 ** 36 },
];

const FIRST_FAULTS: Omit<FaultCase, 'config'>[] = [
  {
    code: 0x5b,
    why: 'five levels unsupported',
    spoil: (s) => pasidEntry.fspm.set(s.words, s.pasid, 1),
  },
  { code: 0x70, why: 'table beyond memory', spoil: (s) => void (s.words[s.top + 1]! |= 0xf_0000) },
  { code: 0x71, why: 'nothing mapped', spoil: NOTHING, iovaG: 2 },
  { code: 0x72, why: 'PS in the top table', spoil: (s) => void (s.words[s.top]! |= 0x80) },
  {
    code: 0x73,
    why: 'root beyond memory',
    spoil: (s) => pasidEntry.fsptptr.set(s.words, s.pasid, BEYOND),
  },
  { code: 0x80, why: 'not canonical', spoil: NOTHING, iovaG: 2 ** 36 },
  { code: 0x81, why: 'U clear', spoil: (s) => void (s.words[s.leaf]! &= ~4) },
  { code: 0x85, why: 'RW clear', spoil: (s) => void (s.words[s.leaf]! &= ~2), write: true },
];

const FAULTS: [string, FaultCase][] = [
  ...LEGACY_FAULTS.map((row) => ({ ...row, config: LEGACY })),
  ...SCALABLE_FAULTS.map((row) => ({ ...row, config: {} })),
  ...SECOND_FAULTS.map((row) => ({ ...row, config: SECOND })),
  ...FIRST_FAULTS.map((row) => ({ ...row, config: {} })),
].map((row) => [`0x${row.code.toString(16).padStart(2, '0')}: ${row.why}`, row]);

describe('a unit refuses', () => {
  it.each(FAULTS)('a unit refuses with its code: %s', (_name, row) => {
    const s = scene(row.config, row.device);
    expect(s.rig.dma(s.dev, 1)).toBe(5);
    row.spoil(s);
    flushAll(s.rig);
    const { iovaG = 1, write = false, pasid = -1 } = row;
    expect(s.rig.dma(s.dev, iovaG, write, pasid)).toBe(-1);
    expect(s.rig.faults()).toMatchObject([
      { code: row.code, write, iova: BigInt(iovaG) << 12n, reason: faultReason(row.code) },
    ]);
    const explained = s.rig.handle.unit.explain(RID, pasid, BigInt(iovaG) << 12n, write);
    // What only the device's ATS bit forbids, explain() does not see: it speaks of the tables.
    if (row.code !== 0x0d && row.code !== 0x44) expect(explained.refused).toBeDefined();
  });
});

describe('the kernel log', () => {
  it('the kernel log of a fault names device, direction, address and reason', () => {
    const s = scene({}, { pasidBits: 20 });
    s.rig.dma(s.dev, 0x7f, true);
    s.rig.dma(s.dev, 0x7f, false, 9);
    const lines = s.rig.events.flatMap((event) => (event.kind === 'log' ? [event.text] : []));
    expect(lines).toEqual([
      'DMAR: [DMA Write NO_PASID] Request device [00:04.0] fault addr 0x7f000 [fault reason 0x71] first-stage entry not present',
      'DMAR: [DMA Read PASID 0x9] Request device [00:04.0] fault addr 0x7f000 [fault reason 0x59] PASID entry not present',
    ]);
  });
});
