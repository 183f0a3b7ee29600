/** The examples run, and print what they promise. */
import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import type { Print } from '../examples/run.ts';
import { main as eduDma } from '../examples/edu-dma.ts';
import { main as errnoContract } from '../examples/errno-contract.ts';
import { main as noiommu } from '../examples/noiommu.ts';
import { main as severalDrivers } from '../examples/several-drivers.ts';
import { main as testAttach } from '../examples/test-attach.ts';

function output(main: (print: Print) => void): string[] {
  const lines: string[] = [];
  main((line) => lines.push(line));
  return lines;
}

describe('examples', () => {
  test('edu-dma copies by DMA through both doors and shows the fault', () => {
    const lines = output(eduDma);
    const copies = lines.filter((line) =>
      line.startsWith("DMA out and back: 'softiommu says hello'"),
    );
    expect(copies).toHaveLength(2);
    const faults = lines.filter((line) => line.startsWith('fault: DMAR: [DMA Write'));
    expect(faults).toHaveLength(2);
    expect(faults[0]).toContain('[00:04.0] fault addr 0x800000');
    expect(lines.at(-1)).toBe('done: nothing is left open, pinned or mapped');
  });
  test('several-drivers: a domain of one driver is refused by the other', () => {
    const lines = output(severalDrivers);
    expect(lines.filter((line) => line.endsWith("memory holds 'hello'"))).toHaveLength(2);
    expect(lines.at(-1)).toContain('EINVAL, the domain was made by another IOMMU driver');
  });
  test('errno-contract: EINVAL tries the next domain, EBUSY ends the search', () => {
    expect(output(errnoContract)).toEqual([
      '0000:00:04.0 is on domain 1 of 1',
      '0000:00:05.0: domain 1 answers EINVAL',
      '0000:00:05.0 is on domain 2 of 2',
      'attach on top of another domain: EBUSY',
    ]);
  });
  test('noiommu: the program asks for the physical address and the device writes there', () => {
    const lines = output(noiommu);
    expect(lines.at(-3)).toContain('an ordinary user: EACCES');
    expect(lines.at(-1)).toBe("the device wrote 'physical'");
  });
  test('test-attach: predictions and real attaches agree', () => {
    const lines = output(testAttach);
    expect(lines[0]).toBe('48-bit domain on 0000:00:04.0: ok');
    expect(lines.filter((line) => line.includes('EINVAL (driver)'))).toHaveLength(1);
    expect(lines.at(-1)).toBe('the real attaches gave the same answers');
  });
});

describe('every example', () => {
  const names = readdirSync('examples').flatMap((name) =>
    name.endsWith('.ts') && name !== 'run.ts' ? [name.slice(0, -3)] : [],
  );
  test.for(names)('%s runs, explains itself and checks itself', async (name) => {
    const text = readFileSync(`examples/${name}.ts`, 'utf8');
    expect(text).toMatch(/^\/\*\*\n \* [\s\S]*?\n \*\/\n/);
    expect(text).toMatch(/assert|throw new Error/);
    // Only what a user has: the entry points of the package.
    expect(text).not.toMatch(/from '\.\.\/src/);
    const example = (await import(`../examples/${name}.ts`)) as { main: (print: Print) => void };
    expect(output(example.main).length).toBeGreaterThan(1);
  });
});
