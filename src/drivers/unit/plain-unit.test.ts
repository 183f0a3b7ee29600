import { describe, expect, test } from 'vitest';
import type { FaultEvent } from '../../base/events.ts';
import { KernelEnv } from '../../base/kernel-env.ts';
import { Device } from '../../core/contract/device.ts';
import { IommuCore } from '../../core/contract/iommu-core.ts';
import { unanswered } from '../../core/contract/remapping-unit.ts';
import { Ram } from '../../pt/ram.ts';
import { PlainUnit, type PlainUnitParts } from './plain-unit.ts';

const ID = 0x20;

/** Granules below 16 are 0x100 higher; odd ones may only be read. */
function unitOf(parts: Partial<PlainUnitParts> = {}) {
  const core = new IommuCore(new KernelEnv(), new Ram(8192));
  const unit = new PlainUnit({
    env: core.env,
    name: 'plain0',
    granuleLg2: 12,
    messages: { firstG: 0xfee00, lastG: 0xfeeff },
    lookup(dev, { iovaG, write }) {
      if (!dev) return { code: 3, reason: 'nobody is known by that id' };
      if (iovaG >= 16) return { code: 1, reason: 'nothing is there' };
      return write && iovaG % 2 === 1 ? { code: 2, reason: 'read only' } : iovaG + 0x100;
    },
    ...parts,
  });
  unit.requesters.connect(ID, new Device(core, { name: 'dev', bus: 'pci' }));
  const faults: FaultEvent[] = [];
  core.env.trace.listen(({ event }) => {
    if (event.kind === 'fault') faults.push(event);
  });
  return { unit, faults };
}

describe('a unit that asks at every request', () => {
  test('gives the granule it was told, and reports what is blocked', () => {
    const { unit, faults } = unitOf();
    expect(unit.translate(ID, -1, 3, false)).toBe(0x103);
    expect(unit.translate(ID, 9, 3, true)).toBe(-1);
    expect(unit.translate(ID, -1, 16, false)).toBe(-1);
    expect(faults).toMatchObject([
      { code: 2, pasid: 9, iova: 0x3000n, write: true, reason: 'read only' },
      { code: 1, iova: 0x1_0000n, write: false, reason: 'nothing is there' },
    ]);
  });
  test('a requester it does not know is blocked and named by its id', () => {
    const { unit, faults } = unitOf();
    expect(unit.translate(ID + 1, -1, 3, false)).toBe(-1);
    expect(faults).toMatchObject([{ code: 3, device: { id: '00:04.1' } }]);
    expect(unit.explain(ID + 1, -1, 0n, false).refused).toMatch(/nobody is known/);
  });
  test('tells a device where an address is, with its rights, and reports nothing', () => {
    const { unit, faults } = unitOf();
    const ask = (iovaG: number, noWrite = false) =>
      unit.request({ requesterId: ID, pasid: -1, iovaG, access: 'ats', noWrite });
    expect(ask(2)).toEqual({ outcome: 'translated', outG: 0x102, prot: 3, sizeLg2: 0 });
    expect(ask(2, true)).toMatchObject({ outG: 0x102, prot: 1 });
    expect(ask(3)).toMatchObject({ outG: 0x103, prot: 1 });
    expect(ask(16)).toEqual(unanswered('empty'));
    expect(faults).toEqual([]);
  });
  test('an access with attributes is translated as a plain one', () => {
    const { unit } = unitOf();
    const request = { requesterId: ID, pasid: -1, iovaG: 2, access: 'write' } as const;
    expect(unit.request(request)).toMatchObject({ outcome: 'translated', outG: 0x102, prot: 2 });
  });
  test('messages pass where it says, and are writes elsewhere', () => {
    const { unit } = unitOf();
    const message = { addressLo: 0xfee0_0004, addressHi: 0, data: 9 };
    expect(unit.message(ID, message)).toEqual(message);
    expect(unit.message(ID, { ...message, addressHi: 1 })).toBeUndefined();
    expect(unit.message(ID, { ...message, addressLo: 0x2004 })).toEqual({
      ...message,
      addressLo: 0x10_2004,
    });
    expect(unitOf({ messages: undefined }).unit.message(ID, message)).toBeUndefined();
  });
  test('an explanation reports nothing, and has the steps of the table there is', () => {
    const step = { level: 0, entryPa: 0n, index: 0, entry: 1n, kind: 'empty' } as const;
    const { unit, faults } = unitOf({ walk: () => [step] });
    expect(unit.explain(ID, -1, 0x2345n, false)).toEqual({
      ...{ tables: [], walk: [step] },
      pa: 0x10_2345n,
    });
    expect(unit.explain(ID, -1, 0x3345n, true)).toMatchObject({ refused: 'read only' });
    expect(faults).toEqual([]);
  });
});
