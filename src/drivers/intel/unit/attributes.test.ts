/** Requests with a PASID that say they are in supervisor mode, or for instructions (formats.md 7, 11.1; VT-d 9.6). */
import { describe, expect, test } from 'vitest';
import { unanswered, type UnitRequest } from '../../../core/contract/remapping-unit.ts';
import { flushAll, scene, SCENE_RID, type Scene } from '../../../testing/drivers/intel-rig.ts';
import type { IntelUnitConfig } from '../driver/driver.ts';
import { REG_FRCD } from '../registers.ts';
import { faultRecord, pasidEntry } from '../words.ts';

const [WRITE_BIT, USER_BIT, DIRTY_BIT] = [1 << 1, 1 << 2, 1 << 6];
const DENIED = unanswered('aborted');

/** A device whose PASID 0 is translated as its requests without; SRE and WPE as given. */
function sceneWith(entry: { sre?: number; wpe?: number } = {}, config: IntelUnitConfig = {}) {
  const s = scene(config, { pasidBits: 20 });
  pasidEntry.sre.set(s.words, s.pasid, entry.sre ?? 0);
  pasidEntry.wpe.set(s.words, s.pasid, entry.wpe ?? 0);
  flushAll(s.rig);
  return s;
}
const ask = (s: Scene, more: Partial<UnitRequest> = {}) =>
  s.rig.handle.unit.request({
    ...{ requesterId: SCENE_RID, pasid: 0, iovaG: 1, access: 'read' },
    ...more,
  });
const codes = (s: Scene) => s.rig.faults().map(({ code }) => code);
const allowed = (prot: number) => ({ outcome: 'translated', outG: 5, prot, sizeLg2: 0 });
const SUPERVISOR = { privileged: true };

describe('a request in supervisor mode', () => {
  test('is a fault, 0x5d, where the PASID entry allows none', () => {
    const s = sceneWith();
    expect(ask(s)).toEqual(allowed(1));
    expect(ask(s, SUPERVISOR)).toEqual(DENIED);
    expect(s.rig.faults()).toMatchObject([
      { code: 0x5d, pasid: 0, iova: 0x1000n, reason: 'supervisor requests not enabled' },
    ]);
    const word = Int32Array.from({ length: 4 }, (_, n) =>
      s.rig.handle.unit.read32(REG_FRCD + 4 * n),
    );
    expect([faultRecord.privileged.get(word, 0), faultRecord.execute.get(word, 0)]).toEqual([1, 0]);
  });
  test('reaches pages that are closed to users, and leaves them closed', () => {
    const s = sceneWith({ sre: 1 });
    s.words[s.leaf]! &= ~USER_BIT;
    expect(ask(s, SUPERVISOR)).toEqual(allowed(1));
    expect(ask(s)).toEqual(DENIED);
    expect(codes(s)).toEqual([0x81]);
  });
  test('writes what may only be read, and makes it dirty, but where write protection is on', () => {
    const s = sceneWith({ sre: 1 });
    s.words[s.leaf]! &= ~(WRITE_BIT | DIRTY_BIT);
    expect(ask(s, { ...SUPERVISOR, access: 'write' })).toEqual(allowed(2));
    expect(s.words[s.leaf]! & DIRTY_BIT).toBe(DIRTY_BIT);
    expect(ask(s, { access: 'write' })).toEqual(DENIED);
    const guarded = sceneWith({ sre: 1, wpe: 1 });
    guarded.words[guarded.leaf]! &= ~WRITE_BIT;
    expect(ask(guarded, { ...SUPERVISOR, access: 'write' })).toEqual(DENIED);
    expect([codes(s), codes(guarded)]).toEqual([[0x85], [0x85]]);
  });
  test('is like any other where nothing is mapped, where the stage knows no modes, and without a PASID', () => {
    const s = sceneWith({ sre: 1 });
    expect(ask(s, { ...SUPERVISOR, iovaG: 2 })).toEqual(DENIED);
    expect(codes(s)).toEqual([0x71]);
    expect(ask(sceneWith({}, { firstStage: false }), SUPERVISOR)).toEqual(allowed(1));
    expect(ask(sceneWith(), { ...SUPERVISOR, pasid: -1 })).toEqual(allowed(1));
  });
  test('of a PASID without an entry has that fault', () => {
    const s = sceneWith({ sre: 1 });
    expect(ask(s, { ...SUPERVISOR, pasid: 3 })).toEqual(DENIED);
    expect(codes(s)).toEqual([0x59]);
  });
});

test('a request for instructions is a fault, 0x5c: no unit of this kind announces them', () => {
  const s = sceneWith({ sre: 1 });
  expect(ask(s, { execute: true })).toEqual(DENIED);
  expect(ask(s, { execute: true, ...SUPERVISOR })).toEqual(DENIED);
  expect(codes(s)).toEqual([0x5c, 0x5c]);
});
