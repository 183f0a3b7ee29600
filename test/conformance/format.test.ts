/** What every page-table format keeps: the suite of softiommu/testing over all that come with softiommu (core.md 3.8). */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { IOMMU_MMIO, IOMMU_NOEXEC, IOMMU_READ, IOMMU_WRITE } from '../../src/pt/index.ts';
import { CASES } from '../../src/testing/pt/format-cases.ts';
import { formatCases, runMapProgram, windowsOf } from '../../src/testing/pt/format-suite.ts';
import { SEED } from '../random-seed.ts';

const RW = IOMMU_READ | IOMMU_WRITE;

describe.each(CASES)('$name', (c) => {
  test.for(formatCases(c, SEED).map((one) => [one.name, one] as const))('%s', ([, one]) => {
    expect(() => one.run()).not.toThrow();
  });

  test('any maps and unmaps do what a plain list of leaves does', () => {
    const step = fc.record({
      map: fc.boolean(),
      window: fc.nat(windowsOf(c).length - 1),
      at: fc.oneof(
        fc.nat(4095),
        fc.nat(7).map((n) => n * 512),
        fc.nat(255).map((n) => n * 16),
      ),
      length: fc.oneof(fc.integer({ min: 1, max: 40 }), fc.constantFrom(16, 32, 512, 1024, 600)),
      pa: fc.oneof(
        fc.nat(0xffff),
        fc.nat(100).map((n) => n * 512),
      ),
      shift: fc.boolean(),
      prot: fc.constantFrom(IOMMU_READ, IOMMU_WRITE, RW, RW | IOMMU_MMIO, RW | IOMMU_NOEXEC),
    });
    const programs = fc.array(step, { maxLength: 30 });
    fc.assert(
      fc.property(programs, (steps) => runMapProgram(c, steps)),
      { numRuns: 25 },
    );
  });
});
