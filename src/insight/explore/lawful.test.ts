/** The errnos that are tried are those the code refuses with. */
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { COMMAND_NAMES } from '../../uapi/decode.ts';
import { parseReference } from '../explain/reference.ts';
import { LAWFUL, lawfulErrnos } from './lawful.ts';

const REFUSALS = parseReference(readFileSync('docs/errno.md', 'utf8'));

test.each(LAWFUL)('$calls: each errno is refused with by one of its sources', (row) => {
  const { errnos, sources } = row;
  const refused = REFUSALS.filter(({ file }) => sources.some((at) => file.startsWith(`src/${at}`)));
  const names = new Set(refused.map(({ errno }) => errno));
  expect(errnos.filter((errno) => !names.has(errno))).toEqual([]);
});
test('every row is for a call that exists, and no other row takes all of its calls', () => {
  const calls = [...COMMAND_NAMES, 'openat', 'mmap', 'read', 'write', 'pread64', 'pwrite64'];
  const deciding = new Set(calls.map((name) => LAWFUL.find((row) => row.calls.test(name))));
  expect(LAWFUL.filter((row) => !deciding.has(row))).toEqual([]);
});
test.each([
  ['IOMMU_IOAS_MAP', ['ENOMEM', 'EEXIST', 'ENOSPC']],
  ['read', ['EIO', 'EINTR']],
  ['VFIO_CHECK_EXTENSION', []],
])('%s', (call, errnos) => {
  expect(lawfulErrnos(call)).toEqual(errnos);
});
