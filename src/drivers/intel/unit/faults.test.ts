import { describe, expect, it } from 'vitest';
import { must } from '../../../testing/base/must.ts';
import { FRAME_WORDS, Ram } from '../../../pt/ram.ts';
import { resolveHardware } from '../hardware.ts';
import {
  FSTS_PFO,
  FSTS_PPF,
  GCMD_SRTP,
  GCMD_TE,
  REG_FRCD,
  REG_FSTS,
  REG_GCMD,
  REG_RTADDR,
} from '../registers.ts';
import { IntelUnit } from './unit.ts';
import { faultRecord, legacyContext, legacyRoot } from '../words.ts';

function bare(faultRecords: number) {
  const ram = new Ram(1 << 16);
  const hw = resolveHardware({ scalable: false, faultRecords });
  let interrupts = 0;
  const unit = new IntelUnit(hw, ram, undefined, {
    fault: () => interrupts++,
    pageRequest: () => undefined,
  });
  const root = must(ram.alloc());
  unit.write32(REG_RTADDR, root << 12);
  unit.write32(REG_GCMD, GCMD_SRTP);
  unit.write32(REG_GCMD, GCMD_TE);
  return { unit, ram, root, interrupts: () => interrupts };
}
const record = (unit: IntelUnit, n: number) => {
  const words = Int32Array.from({ length: 4 }, (_, w) => unit.read32(REG_FRCD + n * 16 + w * 4));
  return {
    f: faultRecord.f.get(words, 0),
    sid: faultRecord.sid.get(words, 0),
    address: faultRecord.address.get(words, 0),
    reason: faultRecord.reason.get(words, 0),
    read: faultRecord.read.get(words, 0),
    pasidPresent: faultRecord.pasidPresent.get(words, 0),
  };
};

describe('the fault recording registers', () => {
  it('the fault recording registers hold address, source, reason and direction, and raise one interrupt', () => {
    const { unit, interrupts } = bare(4);
    expect(unit.translate(0x1234, -1, 0xabcde, false)).toBe(-1);
    expect(record(unit, 0)).toEqual({
      f: 1,
      sid: 0x1234,
      address: 0xabcde,
      reason: 1,
      read: 1,
      pasidPresent: 0,
    });
    expect(unit.read32(REG_FSTS)).toBe(FSTS_PPF);
    unit.translate(0x1234, -1, 0xabcdf, true);
    expect(record(unit, 1)).toMatchObject({ f: 1, address: 0xabcdf, read: 0 });
    expect(interrupts()).toBe(1);
  });

  it('the fault recording registers overflow when every record is in use, and take faults again when cleared', () => {
    const { unit } = bare(2);
    for (let n = 0; n < 3; n++) unit.translate(8, -1, n, true);
    expect(unit.read32(REG_FSTS) & FSTS_PFO).toBe(FSTS_PFO);
    unit.write32(REG_FRCD + 12, 1 << 31);
    unit.write32(REG_FRCD + 28, 1 << 31);
    expect(unit.read32(REG_FSTS) & FSTS_PPF).toBe(0);
    unit.write32(REG_FSTS, FSTS_PFO);
    unit.translate(8, -1, 0x77, true);
    expect(record(unit, 0)).toMatchObject({ f: 1, address: 0x77 });
  });

  it('the fault recording registers stay empty for an entry with fault processing disabled', () => {
    const { unit, ram, root } = bare(2);
    const table = must(ram.alloc());
    legacyRoot.p.set(ram.words, root * FRAME_WORDS, 1);
    legacyRoot.contextTable.set(ram.words, root * FRAME_WORDS, table);
    legacyContext.fpd.set(ram.words, table * FRAME_WORDS + 8 * 4, 1);
    expect(unit.translate(8, -1, 1, true)).toBe(-1);
    expect(unit.read32(REG_FSTS)).toBe(0);
    expect(unit.translate(16, -1, 1, true)).toBe(-1);
    expect(record(unit, 0)).toMatchObject({ f: 1, sid: 16, reason: 2 });
  });

  it('a unit passes everything while translation is off', () => {
    const { unit } = bare(2);
    unit.write32(REG_GCMD, 0);
    expect(unit.translate(8, -1, 0x123, true)).toBe(0x123);
  });

  it('a write to the interrupt range is a message and passes', () => {
    const { unit } = bare(2);
    expect(unit.translate(8, -1, 0xfee00, true)).toBe(0xfee00);
  });
});
