import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { lookUp, parseReference } from './reference.ts';

const PAGE = readFileSync('docs/errno.md', 'utf8');
const ALL = parseReference(PAGE);

test('every refusal of the page with an errno of its own is read', () => {
  const rows = PAGE.split('\n').filter((line) => /^\| E[A-Z0-9]/.test(line));
  expect(rows.length).toBeGreaterThan(800);
  expect(ALL).toHaveLength(rows.length);
  expect(ALL).toContainEqual({
    errno: 'EEXIST',
    rule: 'the IOVA range meets a mapping',
    area: 'iommufd',
    file: 'src/iommufd/io-pagetable/io-pagetable.ts',
  });
});
test('an errno finds its rules, and words find the rules that have them all, in any order', () => {
  expect(lookUp(ALL, 'ENXIO').every(({ errno }) => errno === 'ENXIO')).toBe(true);
  const rules = lookUp(ALL, 'IOMMU type  container').map(({ rule }) => rule);
  expect(rules).toContain('the container has no IOMMU type yet');
  expect(lookUp(ALL, 'no such words at all')).toEqual([]);
});
test('a rule that a file has twice is shown once', () => {
  const rows = '## src/vfio/a.ts\n| EINVAL | the size is 0 | x |\n| EINVAL | the size is 0 | y |';
  expect(lookUp(parseReference(rows), 'EINVAL')).toHaveLength(1);
});
