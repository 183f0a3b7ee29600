import { expect, it } from 'vitest';
import { main } from '../../examples/writing-a-driver.ts';

it('the driver of docs/writing-a-driver.md works', () => {
  const lines: string[] = [];
  main((line) => lines.push(line));
  expect(lines).toEqual([
    'probed, default domain: 0x100 -> refused',
    'claimed, blocked: 0x100 -> refused',
    'attached and mapped: 0x100 -> 0x700',
    'unmapped: 0x100 -> refused',
  ]);
});
