/** The example of aux domains prints what it promises. */
import { expect, test } from 'vitest';
import { main } from '../examples/aux-domain.ts';

test('aux-domain: two PASIDs, one IOVA, two memories; the whole device is refused meanwhile', () => {
  const lines: string[] = [];
  main((line) => lines.push(line));
  expect(lines).toEqual([
    'mdev-a: PASID 1, iova 0x1100000 is 0x100000',
    'mdev-b: PASID 2, iova 0x1100000 is 0x200000',
    'the primary domain is untouched: true',
    'taking the whole device: EPERM',
    'switching AUX off now: EBUSY',
    'and after the detach: done',
  ]);
});
