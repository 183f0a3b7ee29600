/** One way of resolving, opening and permitting for every front door; rights are in rights.test.ts. */
import { describe, expect, test } from 'vitest';
import {
  EACCES,
  EEXIST,
  EISDIR,
  ELOOP,
  ENOENT,
  ENOTDIR,
  EOPNOTSUPP,
  EPERM,
  EXDEV,
  isErrno,
  type Errno,
} from '../../base/errno.ts';
import { CAP_CHOWN, CAP_DAC_OVERRIDE, CAP_FOWNER } from '../../base/task.ts';
import type { AttrNode, DeviceNode, DirNode, Node } from './nodes.ts';
import type { Cred } from './rights.ts';
import { dir, link } from './tree.ts';
import { Vfs, type OpenHow } from './vfs.ts';

const attr: AttrNode = { kind: 'attr', mode: 0o444, size: 4096, read: () => new Uint8Array(0) };
const node: DeviceNode = { kind: 'device', mode: 0o660, major: 1, minor: 2, open: () => never() };
const device = dir(() => ({ vendor: attr, subsystem: link('../../bus/pci'), self: link('self') }));
const pci = dir(() => ({
  devices: dir(() => ({ dev0: link('../../../devices/dev0') })),
  absolute: link('/sys/devices/dev0/vendor'),
  outside: link('../../../etc/passwd'),
  bind: { ...attr, mode: 0o200 },
  node,
}));
const root: DirNode = dir(
  () => ({
    sys: dir(
      () => ({
        bus: dir(() => ({ pci }), true),
        devices: dir(() => ({ dev0: device }), true),
        closed: { ...dir(() => ({ attr })), mode: 0o700 },
      }),
      true,
    ),
  }),
  true,
);

const at = (of: AttrNode) => ({ kind: 'node', node: of, path: '/attr' }) as const;
const vfs = new Vfs(root, { uid: 10, gid: 20 });
function never(): never {
  throw new Error('resolving opens nothing');
}
function user(uid: number, ...capabilities: number[]): Cred {
  return { uid, gid: uid, groups: [], capable: (cap) => capabilities.includes(cap) };
}
const OWNER = user(10);
const STRANGER = user(1000);
const SUPERUSER = user(0, CAP_DAC_OVERRIDE);

function where(path: string, follow = true): string {
  const place = vfs.resolve(path, { cred: STRANGER, follow });
  if (isErrno(place)) return place.name;
  if (place.kind === 'host') return `host ${place.path}${place.direct ? '' : ' by a link'}`;
  return `${place.node.kind} ${place.path}`;
}

describe('a path leads', () => {
  test.for([
    ['/', 'dir /'],
    ['//sys/./bus/', 'dir /sys/bus'],
    ['/sys/../sys/devices/dev0/vendor', 'attr /sys/devices/dev0/vendor'],
    ['/../sys', 'dir /sys'],
    ['/sys/bus/pci/devices/dev0', 'dir /sys/devices/dev0'],
    ['/sys/bus/pci/devices/dev0/vendor', 'attr /sys/devices/dev0/vendor'],
    ['/sys/bus/pci/devices/dev0/..', 'dir /sys/devices'],
    ['/sys/bus/pci/devices/dev0/subsystem/devices', 'dir /sys/bus/pci/devices'],
    ['/sys/bus/pci/absolute', 'attr /sys/devices/dev0/vendor'],
    ['/etc/passwd', 'host /etc/passwd'],
    ['/sys/kernel/mm', 'host /sys/kernel/mm'],
    // Dots out of the host's directories are its own to say, but for who came there by a link of ours.
    ['/tmp/../sys/devices/dev0', 'host /tmp/../sys/devices/dev0'],
    ['/tmp/a/../../sys/devices/dev0', 'host /tmp/a/../../sys/devices/dev0'],
    ['/sys/bus/pci/outside/../../sys/devices/dev0', 'dir /sys/devices/dev0'],
    ['/tmp/a/../b', 'host /tmp/a/../b'],
    ['/sys/bus/pci/outside', 'host /etc/passwd by a link'],
    ['', 'ENOENT'],
    ['/sys/bus/pci/nothing', 'ENOENT'],
    ['/sys/bus/pci/nothing/..', 'ENOENT'],
    ['/sys/devices/dev0/vendor/x', 'ENOTDIR'],
    ['/sys/devices/dev0/vendor/..', 'ENOTDIR'],
    ['/sys/devices/dev0/vendor/', 'ENOTDIR'],
    ['/sys/devices/dev0/vendor/.', 'ENOTDIR'],
    ['/sys/devices/dev0/self', 'ELOOP'],
    ['/sys/closed', 'dir /sys/closed'],
    ['/sys/closed/', 'dir /sys/closed'],
    ['/sys/closed/attr', 'EACCES'],
    ['/sys/closed/..', 'EACCES'],
  ] as const)('the path %s leads to %s', ([path, place]) => {
    expect(where(path)).toBe(place);
  });

  test('a path leads to the link itself when the last one is not to be followed', () => {
    expect(where('/sys/bus/pci/devices/dev0', false)).toBe('link /sys/bus/pci/devices/dev0');
  });
  test('a path leads through a last link all the same when a slash follows it', () => {
    expect(where('/sys/bus/pci/devices/dev0/', false)).toBe('dir /sys/devices/dev0');
  });
  test('a path leads nowhere else where there is no host', () => {
    const lookup = (path: string) => vfs.lookup(path, { cred: STRANGER });
    expect(lookup('/etc/passwd')).toBe(ENOENT);
    expect(lookup('/tmp/../sys')).toBe(ENOENT);
    expect(lookup('/sys/bus/pci/outside')).toBe(ENOENT);
    expect(lookup('/sys')).toMatchObject({ path: '/sys' });
  });
  test('a path leads to no new file in the simulated tree, and to one of the host where it shows through', () => {
    const create = (path: string) => vfs.resolve(path, { cred: SUPERUSER, create: true });
    expect(create('/sys/bus/pci/new')).toBe(EACCES);
    expect(create('/sys/bus/pci/new/')).toBe(EISDIR);
    expect(create('/sys/bus/pci/new/deeper')).toBe(ENOENT);
    expect(create('/sys/bus/pci/new/.')).toBe(ENOENT);
    expect(create('/tmp/new')).toMatchObject({ kind: 'host', path: '/tmp/new' });
  });
});

test.for([
  ['a directory', '/sys/bus/pci/', EISDIR],
  ['a directory of the host', '/tmp/', '/tmp/'],
  ['a link to a directory', '/sys/bus/pci/devices/dev0//', EISDIR],
  ['a file', '/sys/devices/dev0/vendor/', EISDIR],
  ['a file below one', '/sys/devices/dev0/vendor/x/', ENOTDIR],
  ['a directory by its dot', '/sys/bus/pci/.', '/sys/bus/pci'],
  ['a directory by two', '/sys/bus/pci/../', '/sys/bus'],
  ['a file by its dot', '/sys/devices/dev0/vendor/.', ENOTDIR],
  ['the root', '/', '/'],
] as const)('O_CREAT of %s: %s', ([, path, expected]) => {
  const place = vfs.resolve(path, {
    ...{ cred: SUPERUSER, create: true },
    isHosts: (directory) => directory === '/tmp',
  });
  expect(isErrno(place) ? place : place.path).toBe(expected);
});

const READ: OpenHow = { read: true, write: false };
const WRITE: OpenHow = { read: false, write: true };
const BOTH: OpenHow = { read: true, write: true };
const NEITHER: OpenHow = { read: false, write: false, neither: true };
const VENDOR = '/sys/devices/dev0/vendor';
const BUS = '/sys/bus/pci';

function open(path: string, how: OpenHow, cred: Cred): Node['kind'] | Errno {
  const place = vfs.resolve(path, { cred, follow: !path.endsWith('dev0') });
  if (isErrno(place) || place.kind === 'host') throw new Error(`${path} is no node`);
  const opened = vfs.open(place, how, cred);
  return isErrno(opened) ? opened : opened.node.kind;
}

describe('open', () => {
  test.for([
    ['a directory to read', BUS, READ, STRANGER, 'dir'],
    ['a directory to write', BUS, BOTH, SUPERUSER, EISDIR],
    ['a directory to make', BUS, { ...READ, create: true }, SUPERUSER, EISDIR],
    ['a directory to empty', BUS, { ...READ, truncate: true }, SUPERUSER, EISDIR],
    ['what is to be new', BUS, { ...READ, create: true, exclusive: true }, SUPERUSER, EEXIST],
    ['what need not be new', VENDOR, { ...READ, create: true }, STRANGER, 'attr'],
    ['O_EXCL alone', VENDOR, { ...READ, exclusive: true }, STRANGER, 'attr'],
    ['a file as a directory', VENDOR, { ...READ, directory: true }, STRANGER, ENOTDIR],
    ['a link', `${BUS}/devices/dev0`, READ, STRANGER, ELOOP],
    ['an attribute everybody reads', VENDOR, READ, STRANGER, 'attr'],
    ['an attribute nobody writes, by root', VENDOR, BOTH, SUPERUSER, EACCES],
    ['an attribute nobody reads, by root', `${BUS}/bind`, BOTH, SUPERUSER, EACCES],
    ['an attribute its owner writes', `${BUS}/bind`, WRITE, OWNER, 'attr'],
    ['the same by another', `${BUS}/bind`, WRITE, STRANGER, EACCES],
    [
      'to read and empty, for which writing is asked',
      VENDOR,
      { ...READ, truncate: true },
      OWNER,
      EACCES,
    ],
    ['the same by root, who may', VENDOR, { ...READ, truncate: true }, SUPERUSER, 'attr'],
    ['a device by its owner', `${BUS}/node`, BOTH, OWNER, 'device'],
    ['a device by its group', `${BUS}/node`, BOTH, user(20), 'device'],
    ['a device by another', `${BUS}/node`, READ, STRANGER, EACCES],
    ['a device by root', `${BUS}/node`, BOTH, SUPERUSER, 'device'],
    ['an attribute everybody reads, for neither', VENDOR, NEITHER, STRANGER, EACCES],
    ['the same by its owner, who may not write', VENDOR, NEITHER, OWNER, EACCES],
    ['the same by root, for sysfs is asked for nothing', VENDOR, NEITHER, SUPERUSER, 'attr'],
    ['an attribute its owner only writes, for neither', `${BUS}/bind`, NEITHER, OWNER, EACCES],
    ['a device, for neither', `${BUS}/node`, NEITHER, OWNER, 'device'],
    ['a directory, for neither', BUS, NEITHER, SUPERUSER, EISDIR],
  ] as const)('an open of %s is decided as Linux does', ([, path, how, cred, result]) => {
    expect(open(path, how, cred)).toBe(result);
  });
  test('an open with O_PATH names anything, a directory only where one is wanted', () => {
    const place = { kind: 'node', node: attr, path: VENDOR } as const;
    expect(vfs.openPath(place, false)).toBeUndefined();
    expect(vfs.openPath(place, true)).toBe(ENOTDIR);
  });
  test('a node can have an owner of its own', () => {
    const place = { kind: 'node', node: { ...node, uid: 1000, mode: 0o400 }, path: '/x' } as const;
    expect(vfs.open(place, READ, STRANGER)).toMatchObject({ kind: 'node' });
    expect(vfs.open(place, READ, OWNER)).toBe(EACCES);
  });
  test('what an attribute could be opened for is asked without a refusal', () => {
    expect(vfs.mayOpen(at(attr), STRANGER, 4)).toBe(true);
    expect(vfs.mayOpen(at(attr), SUPERUSER, 2)).toBe(false);
    expect(vfs.mayOpen(at({ ...attr, mode: 0o644 }), STRANGER, 2)).toBe(false);
    expect(vfs.mayOpen(at({ ...attr, mode: 0o644 }), SUPERUSER, 2)).toBe(true);
  });
});

describe('a path within bounds', () => {
  const DIRECTORY = '/sys/bus/pci';
  test.for([
    ['bind', { beneath: true }, 'attr'],
    ['..', { beneath: true }, EXDEV],
    ['/sys/bus/pci/bind', { beneath: true }, EXDEV],
    ['absolute', { beneath: true }, EXDEV],
    ['/bind', { inRoot: true }, 'attr'],
    ['../../bind', { inRoot: true }, 'attr'],
    ['bind', { noLinks: true }, 'attr'],
    ['devices/dev0/vendor', { noLinks: true }, ELOOP],
    ['devices/dev0/vendor', { beneath: true }, EXDEV],
    ['../../../sys', { noCrossing: true }, EXDEV],
    ['absolute', { noCrossing: true }, EXDEV],
    ['../pci/bind', { noCrossing: true }, 'attr'],
  ] as const)('from /sys/bus/pci the path %s with %o', ([path, bounds, expected]) => {
    const from = { directory: DIRECTORY, bounds };
    const place = vfs.resolve(path, { cred: SUPERUSER, from });
    expect(isErrno(place) || place.kind === 'host' ? place : place.node.kind).toBe(expected);
  });
  test('a directory that is gone is where no path begins', () => {
    const from = { directory: '/sys/gone', bounds: { beneath: true } };
    expect(vfs.resolve('x', { cred: SUPERUSER, from })).toBe(ENOENT);
  });
});

test("a directory the host has too is the host's, and a way past what it has not is no direct one", () => {
  const resolve = (path: string) =>
    vfs.resolve(path, { cred: SUPERUSER, isHosts: (path) => path === '/' || path === '/sys' });
  expect(resolve('/sys')).toEqual({ kind: 'host', path: '/sys', direct: true });
  expect(resolve('/sys/kernel')).toEqual({ kind: 'host', path: '/sys/kernel', direct: true });
  expect(resolve('/sys/bus/../kernel')).toEqual({
    ...{ kind: 'host', path: '/sys/kernel', direct: false },
  });
  expect(resolve('/sys/bus')).toMatchObject({ kind: 'node' });
});

describe('modes and owners', () => {
  const CHOWNER = user(7, CAP_CHOWN, CAP_FOWNER);
  const changed = () => {
    const tree = new Vfs(root, { uid: 10, gid: 20 });
    const place = tree.lookup(`${BUS}/node`, { cred: SUPERUSER });
    if (isErrno(place)) throw new Error('there is no node');
    return { tree, place };
  };
  test('its owner changes the mode of a node, and a stranger does not', () => {
    const { tree, place } = changed();
    expect(tree.chmod(place, 0o600, STRANGER)).toBe(EPERM);
    expect(tree.chmod(place, 0o600, OWNER)).toBeUndefined();
    expect(tree.attributes(place.node, place.path).mode).toBe(0o600);
    const link = { kind: 'node', node: { kind: 'link', target: () => 'x' }, path: '/l' } as const;
    expect(tree.chmod(link, 0o600, OWNER)).toBe(EOPNOTSUPP);
  });
  test('a node is given away with CAP_CHOWN only, but to a group of its owner', () => {
    const { tree, place } = changed();
    const inGroup = { ...OWNER, groups: [33] };
    expect(tree.chown(place, { uid: 5, gid: -1 }, OWNER)).toBe(EPERM);
    expect(tree.chown(place, { uid: -1, gid: 33 }, OWNER)).toBe(EPERM);
    expect(tree.chown(place, { uid: -1, gid: 33 }, inGroup)).toBeUndefined();
    expect(tree.chown(place, { uid: 5, gid: -1 }, CHOWNER)).toBeUndefined();
    expect(tree.attributes(place.node, place.path)).toMatchObject({ uid: 5, gid: 33 });
  });
  test('another device in its place has its own', () => {
    const { tree, place } = changed();
    expect(tree.chmod(place, 0o600, OWNER)).toBeUndefined();
    const other: DeviceNode = { ...node, identity: {} };
    expect(tree.attributes(other, place.path).mode).toBe(0o660);
  });
  test('times are set by the owner, and to now by whoever may write', () => {
    const { tree, place } = changed();
    const writer = user(20);
    expect(tree.touch(place, false, OWNER)).toBeUndefined();
    expect(tree.touch(place, false, writer)).toBe(EPERM);
    expect(tree.touch(place, true, writer)).toBeUndefined();
    expect(tree.touch(place, true, STRANGER)).toBe(EACCES);
  });
});
