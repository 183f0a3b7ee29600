import { describe, expect, it } from 'vitest';
import { AtsDevices, located, PageGroups } from './ats.ts';
import { TLB_READ, TLB_WRITE } from './iotlb.ts';

describe('the enable bits of devices', () => {
  it('ATS is on or off for a requester, and each change is told once', () => {
    const told: number[] = [];
    const devices = new AtsDevices((requesterId) => told.push(requesterId));
    for (const on of [true, true, false, false]) {
      devices.setAts(8, on);
      expect([devices.mayAsk(8), devices.mayAsk(16)]).toEqual([on, false]);
    }
    expect(told).toEqual([8, 8]);
  });
  it('page requests are apart from ATS', () => {
    const devices = new AtsDevices(() => undefined);
    devices.setPri(8, true);
    expect([devices.mayAskForPages(8), devices.mayAsk(8)]).toEqual([true, false]);
    devices.setPri(8, false);
    expect(devices.mayAskForPages(8)).toBe(false);
  });
});

it.each([
  [TLB_READ, 1],
  [TLB_READ | TLB_WRITE | (9 << 8), 3],
] as const)('a translation is answered with its rights and size: %#', (peeked, prot) => {
  const sizeLg2 = peeked >> 8;
  expect(located(5, peeked)).toEqual({ outcome: 'translated', outG: 5, prot, sizeLg2 });
});

describe('groups of page requests', () => {
  it('an answer goes to the device and group it names, once', () => {
    const groups = new PageGroups();
    const answers: [string, number][] = [];
    groups.wait({ requesterId: 8, group: 511 }, (code) => answers.push(['a', code]));
    groups.wait({ requesterId: 9, group: 0 }, (code) => answers.push(['b', code]));
    const answer = { pasid: -1, code: 15 };
    groups.answer({ ...answer, requesterId: 8, group: 0 });
    groups.answer({ ...answer, requesterId: 8, group: 511 });
    groups.answer({ ...answer, requesterId: 8, group: 511 });
    expect(answers).toEqual([['a', 15]]);
  });
  it('a device may ask again while it is answered', () => {
    const groups = new PageGroups();
    const codes: number[] = [];
    const group = { requesterId: 8, group: 1 };
    groups.wait(group, (code) => {
      codes.push(code);
      groups.wait(group, (next) => codes.push(next));
    });
    groups.answer({ ...group, pasid: -1, code: 0 });
    groups.answer({ ...group, pasid: -1, code: 1 });
    expect(codes).toEqual([0, 1]);
  });
});
