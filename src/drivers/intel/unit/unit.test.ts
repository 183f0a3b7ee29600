import { describe, expect, it } from 'vitest';
import { unanswered, type UnitRequest } from '../../../core/contract/remapping-unit.ts';
import { iommuMap } from '../../../core/map/map.ts';
import { FRAME_WORDS } from '../../../pt/ram.ts';
import type { IntelUnitConfig } from '../driver/driver.ts';
import { toIntelDevice } from '../driver/domain.ts';
import { FSTS_IQE, REG_FSTS, REG_IQH, REG_IQT } from '../registers.ts';
import { legacyContext, pasidEntry } from '../words.ts';

import { RW, scene, SCENE_RID as RID, type Scene } from '../../../testing/drivers/intel-rig.ts';

const LEGACY: IntelUnitConfig = { scalable: false };
const SECOND: IntelUnitConfig = { firstStage: false };
const ATS = { ats: true };

describe('caches keep serving what was true until each is told', () => {
  it('a context entry is served until its cache is told, in legacy mode', () => {
    const s = scene(LEGACY);
    expect(s.rig.dma(s.dev, 1)).toBe(5);
    legacyContext.p.set(s.words, s.context, 0);
    expect(s.rig.dma(s.dev, 1)).toBe(5);
    s.rig.handle.instance.queue.contextDevice(0x7777, RID);
    expect(s.rig.dma(s.dev, 1)).toBe(5);
    const did = legacyContext.did.get(s.words, s.context);
    s.rig.handle.instance.queue.contextDevice(did, RID);
    expect(s.rig.dma(s.dev, 1)).toBe(-1);
  });

  it('a PASID entry is served until its cache is told, also when only the context cache was flushed', () => {
    const s = scene({});
    expect(s.rig.dma(s.dev, 1)).toBe(5);
    pasidEntry.p.set(s.words, s.pasid, 0);
    s.rig.handle.instance.queue.contextGlobal();
    expect(s.rig.dma(s.dev, 1)).toBe(5);
    const did = pasidEntry.did.get(s.words, s.pasid);
    s.rig.handle.instance.queue.pasidCache(did, 1);
    expect(s.rig.dma(s.dev, 1)).toBe(5);
    s.rig.handle.instance.queue.pasidCache(did, 0);
    expect(s.rig.dma(s.dev, 1)).toBe(-1);
  });

  it.each([
    ['legacy', LEGACY],
    ['second stage', SECOND],
    ['first stage', {}],
  ] as const)(
    'a leaf is served until its page is named, and only that page is forgotten: %s',
    (_name, config) => {
      const s = scene(config);
      const { queue } = s.rig.handle.instance;
      expect(iommuMap(s.domain, 0x2000n, 0x6000n, 0x1000n, RW)).toBeUndefined();
      expect([s.rig.dma(s.dev, 1), s.rig.dma(s.dev, 2)]).toEqual([5, 6]);
      s.words[s.leaf] = 0;
      s.words[s.leaf + 2] = 0;
      const did = s.rig.handle.instance.domainIds.of(s.domain)!;
      const forget = (startG: number) =>
        config === LEGACY || config === SECOND
          ? queue.iotlbPages(did, { startG, order: 0 })
          : queue.pasidIotlb(did, 0, { startG, order: 0 });
      forget(2);
      expect([s.rig.dma(s.dev, 1), s.rig.dma(s.dev, 2)]).toEqual([5, -1]);
      forget(1);
      expect(s.rig.dma(s.dev, 1)).toBe(-1);
    },
  );

  it('a piece of a large leaf goes with every page of the leaf', () => {
    const s = scene(SECOND);
    expect(iommuMap(s.domain, 0x20_0000n, 0x40_0000n, 0x20_0000n, RW)).toBeUndefined();
    expect(s.rig.dma(s.dev, 0x200)).toBe(0x400);
    expect(s.rig.dma(s.dev, 0x3ff)).toBe(0x5ff);
    expect(s.domain.pt!.unmap(0x200, 512, undefined)).toBe(512);
    expect(s.rig.dma(s.dev, 0x3ff)).toBe(0x5ff);
    const did = s.rig.handle.instance.domainIds.of(s.domain)!;
    s.rig.handle.instance.queue.iotlbPages(did, { startG: 0x200, order: 0 });
    expect(s.rig.dma(s.dev, 0x3ff)).toBe(-1);
  });
});

describe('the invalidation queue', () => {
  it('the invalidation queue stops with IQE at a descriptor that does not exist', () => {
    const { rig } = scene({});
    const { unit } = rig.handle;
    const at = unit.read32(REG_IQT);
    const base = (unit.read32(0x90) >>> 12) * FRAME_WORDS;
    rig.ram.words[base + (at >> 2)] = 0xf;
    unit.write32(REG_IQT, (at + 32) % 4096);
    expect(unit.read32(REG_FSTS) & FSTS_IQE).toBe(FSTS_IQE);
  });

  it.each([
    ['between two descriptors', 16],
    ['beyond the queue', 4096],
  ])('the invalidation queue stops with IQE at a tail %s', (_where, tail) => {
    const { unit } = scene({}).rig.handle;
    const head = unit.read32(REG_IQH);
    unit.write32(REG_IQT, tail);
    expect(unit.read32(REG_FSTS) & FSTS_IQE).toBe(FSTS_IQE);
    expect(unit.read32(REG_IQH)).toBe(head);
  });

  it('the invalidation queue wraps around', () => {
    const s = scene({});
    for (let n = 0; n < 300; n++) s.rig.handle.instance.queue.iotlbGlobal();
    expect(s.rig.dma(s.dev, 1)).toBe(5);
  });
});

describe('the unit under the driver', () => {
  it('a unit reads the PASID table the driver keeps for the device', () => {
    const s = scene({});
    expect(toIntelDevice(s.dev).pasidTable!.find(0)).toBe(s.pasid);
  });
  it('a unit lets an ATS device go on while the IOTLB forgets', () => {
    const s = scene({}, ATS);
    expect(s.rig.dma(s.dev, 1)).toBe(5);
    s.rig.handle.instance.queue.iotlbGlobal();
    s.rig.handle.instance.queue.contextGlobal();
    expect(s.rig.dma(s.dev, 1)).toBe(5);
  });
});

const ask = (s: Scene, more: Partial<UnitRequest> = {}) =>
  s.rig.handle.unit.request({ requesterId: RID, pasid: -1, iovaG: 1, access: 'ats', ...more });
const faults = (s: Scene) => s.rig.faults().map(({ code }) => code);

describe('requests that are no plain access', () => {
  it('an access with attributes is translated as a plain one', () => {
    const s = scene({});
    expect(ask(s, { access: 'write', privileged: false })).toEqual({
      outcome: 'translated',
      outG: 5,
      prot: 2,
      sizeLg2: 0,
    });
    expect(ask(s, { access: 'read', iovaG: 2 })).toEqual(unanswered('aborted'));
    expect(faults(s)).toEqual([0x71]);
  });

  it.each([
    ['legacy', LEGACY, 3],
    ['second stage', SECOND, 3],
    ['first stage', {}, 3],
  ] as const)('a translation is told with its rights: %s', (_name, config, prot) => {
    const s = scene(config, ATS);
    expect(ask(s)).toEqual({ outcome: 'translated', outG: 5, prot, sizeLg2: 0 });
    expect(ask(s, { iovaG: 2 })).toEqual(unanswered('empty'));
    expect(faults(s)).toEqual([]);
  });

  it('a translation of a page that may only be read is for reading', () => {
    const s = scene(SECOND, ATS);
    expect(iommuMap(s.domain, 0x2000n, 0x6000n, 0x1000n, 1)).toBeUndefined();
    expect(ask(s, { iovaG: 2 })).toMatchObject({ outcome: 'translated', outG: 6, prot: 1 });
  });

  it('a device without ATS may not ask; one whose context forbids it is reported', () => {
    expect(ask(scene({}))).toEqual(unanswered('unsupported'));
    const s = scene({});
    s.rig.handle.unit.ats.setAts(RID, true);
    expect(ask(s)).toEqual(unanswered('unsupported'));
    expect(faults(s)).toEqual([0x44]);
  });

  it('a table that cannot be read aborts the request and is reported', () => {
    const s = scene(SECOND, ATS);
    s.words[s.top] = -4096 | 3;
    s.words[s.top + 1] = 0xf_ffff;
    expect(ask(s)).toEqual(unanswered('aborted'));
    expect(faults(s)).toEqual([0x78]);
  });

  it('a message in the interrupt range passes; elsewhere it goes where the table says', () => {
    const s = scene({});
    const { unit } = s.rig.handle;
    const doorbell = { addressLo: 0xfee0_1004, addressHi: 0, data: 0x40 };
    expect(unit.message(RID, doorbell)).toEqual(doorbell);
    expect(unit.messages).toEqual({ firstG: 0xfee00, lastG: 0xfeeff });
    expect(unit.message(RID, { addressLo: 0x1ffc, addressHi: 0, data: 7 })).toEqual({
      addressLo: 0x5ffc,
      addressHi: 0,
      data: 7,
    });
    expect(unit.message(RID, { addressLo: 0x2000, addressHi: 1, data: 7 })).toBeUndefined();
    expect(s.rig.faults().map(({ iova }) => iova)).toEqual([0x1_0000_2000n]);
  });
});
