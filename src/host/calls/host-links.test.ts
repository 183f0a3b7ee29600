/** Where links of the host lead by their texts, and what is asked of the thread that is to follow them. */
import { mkdirSync, mkdtempSync, readdirSync, realpathSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { HostLinks } from './host-links.ts';

const directory = mkdtempSync(join(realpathSync(tmpdir()), 'links-'));
mkdirSync(join(directory, 'deep/er'), { recursive: true });
const LINKS = {
  absolute: '/sys/bus/pci',
  'deep/relative': '../absolute/devices',
  'deep/er/up': '../../deep',
  loop: 'loop',
  host: '/etc',
  nothing: '/nowhere',
};
for (const [name, target] of Object.entries(LINKS)) symlinkSync(target, join(directory, name));
afterAll(() => {
  rmSync(directory, { recursive: true });
});

const walker = {
  tid: process.pid,
  root: undefined,
  follow: true,
  base: '/',
  concerns: (path: string) => /^\/(sys|dev)(\/|$)/.test(path),
};
const links = new HostLinks();

test.for([
  ['a link', 'absolute', '/sys/bus/pci', ['absolute']],
  ['what is behind one', 'absolute/devices/x/', '/sys/bus/pci/devices/x/', ['absolute']],
  [
    'one through another',
    'deep/relative/x',
    '/sys/bus/pci/devices/x',
    ['deep/relative', 'deep/..', 'absolute'],
  ],
  [
    'dots behind one',
    'deep/er/up/../absolute',
    '/sys/bus/pci',
    ['deep/er/up', 'deep/er/..', 'deep/..', 'deep/..', 'absolute'],
  ],
  ['dots before one', 'deep/../absolute/..', '/sys/bus/pci/..', ['deep/..', 'absolute']],
] as const)('%s leads into the tree', ([, path, to, followed]) => {
  const names = followed.map((name) => `${directory}/${name}`);
  expect(links.lead(`${directory}/${path}`, walker)).toEqual({ path: to, ways: names });
});
test.for([
  ['no link', 'deep/er'],
  ['nothing', 'deep/none/absolute'],
  ['a link to elsewhere', 'host/passwd'],
  ['a link to nothing', 'nothing/x'],
  ['a loop', 'loop/x'],
] as const)('%s does not', ([, path]) => {
  expect(links.lead(`${directory}/${path}`, walker)).toBeUndefined();
});
test('links far below lead there, one through another, and leave no descriptor open', () => {
  const names = Array<string>(900).fill('d').join('/');
  mkdirSync(join(directory, names), { recursive: true });
  const at = join(directory, names);
  symlinkSync(`${at}/second`, join(at, 'first'));
  symlinkSync('/sys/bus', join(at, 'second'));
  const before = readdirSync('/proc/self/fd').length;
  const ways = [`${at}/first`, `${at}/second`];
  expect(links.lead(`${at}/first/pci`, walker)).toEqual({ path: '/sys/bus/pci', ways });
  expect(links.lead(`${at}/none`, walker)).toBeUndefined();
  expect(readdirSync('/proc/self/fd')).toHaveLength(before);
});
test('the last component is followed when it is to be, or a slash is behind it', () => {
  const link = join(directory, 'absolute');
  expect(links.lead(link, { ...walker, follow: false })).toBeUndefined();
  expect(links.lead(`${link}/`, { ...walker, follow: false })?.path).toBe('/sys/bus/pci/');
});

test.for([
  ['out of a directory of the host', '/usr/../dev/iommu', '/dev/iommu', ['/usr/..']],
  ['above the root', '/../dev/iommu', '/dev/iommu', []],
  ['out of what is not there', '/nonexistent/../dev/iommu', undefined, []],
  ['relative', '../../dev/iommu', '/dev/iommu', []],
  ['to the host', '/usr/../etc/passwd', undefined, []],
] as const)('dots %s', ([, path, to, ways]) => {
  const led = links.lead(path, { ...walker, base: '/deep/er' });
  expect(led).toEqual(to === undefined ? undefined : { path: to, ways });
});
test('dots out of where a relative path begins are the kernel’s to know, others are gone through', () => {
  const led = links.lead('er/../../absolute', { ...walker, base: join(directory, 'deep') });
  const ways = [`${directory}/deep/er/..`, `${directory}/absolute`];
  expect(led).toEqual({ path: '/sys/bus/pci', ways });
});
