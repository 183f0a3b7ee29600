import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { isErrno } from '../../../base/errno.ts';
import { iommuMap, iommuUnmap } from '../../../core/map/map.ts';
import { IOMMU_READ, IOMMU_WRITE } from '../../../pt/page-table.ts';
import type { IntelUnitConfig } from '../driver/driver.ts';

import { RW, scene, SCENE_RID as RID, type Scene } from '../../../testing/drivers/intel-rig.ts';

const LEGACY: IntelUnitConfig = { scalable: false };
const SECOND: IntelUnitConfig = { firstStage: false };

describe('explain', () => {
  it('an explanation shows every table and every level', () => {
    const s = scene({});
    const explained = s.rig.handle.unit.explain(RID, -1, 0x1abcn, true);
    expect(explained.tables.map((table) => table.name)).toEqual([
      'root entry',
      'context entry',
      'PASID directory entry',
      'PASID entry',
    ]);
    expect(explained.walk.map((step) => [step.level, step.kind])).toEqual([
      [3, 'table'],
      [2, 'table'],
      [1, 'table'],
      [0, 'leaf'],
    ]);
    expect(explained.pa).toBe(0x5abcn);
  });

  it.each([
    ['legacy, 39 bits', { scalable: false, widths: [39] }],
    ['legacy, 48 bits', LEGACY],
    ['second stage, 57 bits', { ...SECOND, widths: [57] }],
    ['first stage', {}],
    ['first stage, five levels', { firstStage5: true }],
  ] as const)('an explanation agrees with the fast walk and a plain map: %s', (_name, config) => {
    const { domain } = scene(config);
    const span = Number((domain.geometry.apertureEnd + 1n) >> 12n);
    fc.assert(
      fc.property(fc.array(stepsNear(span), { minLength: 5, maxLength: 25 }), (steps) => {
        const s = scene(config);
        const model: Model = new Map([[1, { pa: 5, prot: RW }]]);
        for (const step of steps) {
          change(s, model, { ...step, pages: Math.min(step.pages, span - step.at) });
          compare(s, model, step);
        }
      }),
      { numRuns: 40 },
    );
  });
});

type Model = Map<number, { readonly pa: number; readonly prot: number }>;
interface Step {
  readonly kind: 'map' | 'unmap' | 'probe';
  readonly at: number;
  readonly pages: number;
  readonly pa: number;
  readonly write: boolean;
  readonly readOnly: boolean;
}

/** Steps at both ends of the address space. */
function stepsNear(span: number): fc.Arbitrary<Step> {
  const low = fc.nat(2048);
  return fc.record({
    kind: fc.constantFrom('map' as const, 'unmap' as const, 'probe' as const),
    at: fc.oneof(
      low,
      low.map((n) => span - 1 - n),
    ),
    pages: fc.integer({ min: 1, max: 700 }),
    pa: fc.nat(2 ** 30).map((n) => n & ~511),
    write: fc.boolean(),
    readOnly: fc.boolean(),
  });
}

function change({ domain }: Scene, model: Model, step: Step): void {
  const { at, pages } = step;
  if (step.kind === 'map') {
    const prot = step.readOnly ? IOMMU_READ : RW;
    // The same offset inside 2 MiB as the address, so that large leaves appear.
    const pa = step.pa + (at & 511);
    if (isErrno(iommuMap(domain, g(at), g(pa), g(pages), prot))) return;
    for (let n = 0; n < pages; n++) model.set(at + n, { pa: pa + n, prot });
  } else if (step.kind === 'unmap') {
    const removed = Number(iommuUnmap(domain, g(at), g(pages)) >> 12n);
    for (let n = 0; n < removed; n++) model.delete(at + n);
  }
}

function compare({ rig, dev }: Scene, model: Model, { at, write }: Step): void {
  const found = model.get(at);
  const allowed = found !== undefined && (!write || (found.prot & IOMMU_WRITE) !== 0);
  expect(rig.dma(dev, at, write)).toBe(allowed ? found.pa : -1);
  const { pa } = rig.handle.unit.explain(RID, -1, g(at), write);
  expect(pa).toBe(allowed ? g(found.pa) : undefined);
}

function g(granules: number): bigint {
  return BigInt(granules) << 12n;
}
