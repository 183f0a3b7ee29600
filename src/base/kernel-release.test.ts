import { expect, test } from 'vitest';
import { nearestRelease, NEWEST_RELEASE, RELEASES } from './kernel-release.ts';

test.for([
  ['6.12', '6.12'],
  ['6.12.3', '6.12'],
  ['v6.12', '6.12'],
  ['6.8.0-45-generic', '6.8'],
  ['6.1.0-18-amd64', '6.1'],
  ['5.15.0-130-generic', '5.15'],
  ['6.6.87.2-microsoft-standard-WSL2', '6.6'],
  ['6.9.1', '6.8'],
  ['6.10', '6.8'],
  ['6.14.0-rc3+', '6.14'],
  ['7.1', '6.17'],
  ['7.3.4', '7.3'],
  ['9.0', NEWEST_RELEASE],
  ['4.18.0-553.el8_10.x86_64', RELEASES[0]],
  ['6', undefined],
  ['six', undefined],
  ['6.12 ', undefined],
  ['6.x', undefined],
  ['', undefined],
] as const)('%j behaves as %s', ([version, release]) => {
  expect(nearestRelease(version)).toBe(release);
});
test('every release is the nearest to itself, in ascending order', () => {
  expect(RELEASES.map(nearestRelease)).toEqual([...RELEASES]);
});
