/** The errnos that are tried are those the code refuses with. */
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { COMMAND_NAMES } from '../../uapi/decode.ts';
import { parseReference } from '../explain/reference.ts';
import { LAWFUL, lawfulErrnos } from './lawful.ts';

const REFUSALS = parseReference(readFileSync('docs/errno.md', 'utf8'));

test.each(LAWFUL)('$calls: each refusal is one of the code, with one errno', ({ refusals }) => {
  for (const [file, rule] of refusals) {
    const found = REFUSALS.filter((one) => one.file === `src/${file}` && one.rule === rule);
    expect([rule, new Set(found.map(({ errno }) => errno)).size]).toEqual([rule, 1]);
  }
});
test('every row is for a call that exists, and no other row takes all of its calls', () => {
  const calls = [...COMMAND_NAMES, 'openat', 'mmap', 'read', 'write', 'pread64', 'pwrite64'];
  const deciding = new Set(calls.map((name) => LAWFUL.find((row) => row.calls.test(name))));
  expect(LAWFUL.filter((row) => !deciding.has(row))).toEqual([]);
});
test('nothing is tried that a program brings on itself', () => {
  const OWN_FAULT = ['EINVAL', 'EFAULT', 'ENOTTY', 'EBADF', 'E2BIG', 'EOPNOTSUPP', 'EOVERFLOW'];
  const tried = [...COMMAND_NAMES, 'openat', 'mmap', 'read'].flatMap(lawfulErrnos(REFUSALS));
  expect(tried.filter((errno) => OWN_FAULT.includes(errno))).toEqual([]);
});
test.each([
  ['IOMMU_IOAS_MAP', ['ENOMEM', 'EEXIST', 'ENOSPC']],
  ['VFIO_DEVICE_BIND_IOMMUFD', ['EBUSY', 'ENODEV', 'EPERM']],
  ['read', ['EIO', 'EINTR']],
  ['VFIO_CHECK_EXTENSION', []],
])('%s', (call, errnos) => {
  expect(lawfulErrnos(REFUSALS)(call)).toEqual(errnos);
});
test('the errno is that of the refusals, whatever it is', () => {
  const others = REFUSALS.map((one) =>
    one.rule === 'the object is in use' ? { ...one, errno: 'EAGAIN' } : one,
  );
  expect(lawfulErrnos(others)('IOMMU_DESTROY')).toEqual(['EAGAIN']);
  const without = REFUSALS.filter(({ rule }) => rule !== 'the object is in use');
  expect(() => lawfulErrnos(without)).toThrow("no 'the object is in use'");
});
