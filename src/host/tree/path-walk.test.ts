import { describe, expect, test } from 'vitest';
import { dir, link } from '../../machine/files/tree.ts';
import type { AttrNode, DirNode } from '../../machine/files/nodes.ts';
import { HOST_ERRNO } from '../sys/libc.ts';
import { walkPath } from './path-walk.ts';

const attr: AttrNode = { kind: 'attr', mode: 0o444, size: 4096, read: () => new Uint8Array(0) };
const device = dir(() => ({ vendor: attr, subsystem: link('../../bus/pci'), self: link('self') }));
const pci = dir(() => ({
  devices: dir(() => ({ dev0: link('../../../devices/dev0') })),
  absolute: link('/sys/devices/dev0/vendor'),
  outside: link('../../../etc/passwd'),
}));
const root: DirNode = dir(
  () => ({
    sys: dir(
      () => ({
        bus: dir(() => ({ pci }), true),
        devices: dir(() => ({ dev0: device }), true),
      }),
      true,
    ),
  }),
  true,
);

function walk(path: string, follow = true): string {
  const place = walkPath(root, path, follow);
  if (place.kind === 'error') return `errno ${place.errno}`;
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
    ['/tmp/../sys/devices/dev0', 'dir /sys/devices/dev0'],
    ['/sys/bus/pci/outside', 'host /etc/passwd by a link'],
  ] as const)('the path %s leads to %s', ([path, place]) => {
    expect(walk(path)).toBe(place);
  });

  test.for([
    ['/sys/bus/pci/nothing', HOST_ERRNO.ENOENT],
    ['/sys/devices/dev0/vendor/x', HOST_ERRNO.ENOTDIR],
    ['/sys/devices/dev0/vendor/', HOST_ERRNO.ENOTDIR],
    ['/sys/devices/dev0/self', HOST_ERRNO.ELOOP],
  ] as const)('the path %s leads nowhere, with errno %i', ([path, errno]) => {
    expect(walk(path)).toBe(`errno ${errno}`);
  });

  test('a path leads to the link itself when the last one is not to be followed', () => {
    expect(walk('/sys/bus/pci/devices/dev0', false)).toBe('link /sys/bus/pci/devices/dev0');
  });
  test('a path leads through a last link all the same when a slash follows it', () => {
    expect(walk('/sys/bus/pci/devices/dev0/', false)).toBe('dir /sys/devices/dev0');
  });
});
