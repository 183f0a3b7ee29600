import { describe, expect, test } from 'vitest';
import { Bug } from '../../../base/bug.ts';
import {
  EACCES,
  EBUSY,
  EDEADLK,
  EEXIST,
  EINVAL,
  EIO,
  ENODEV,
  ENOENT,
  ENOTDIR,
  EPERM,
  isErrno,
  type Errno,
} from '../../../base/errno.ts';
import { must } from '../../../testing/base/must.ts';
import { createMachine } from '../../create-machine.ts';
import type { Machine } from '../../machine.ts';
import { PRESETS } from '../../description/presets.ts';
import type { Program } from '../../program/program.ts';

const EDU = '/sys/bus/pci/devices/0000:00:04.0';
const VFIO_PCI = '/sys/bus/pci/drivers/vfio-pci';

function boot(preset = 'default'): { machine: Machine; program: Program } {
  const made = createMachine(PRESETS[preset]!.machine);
  if ('problems' in made) throw new Bug('the preset is no machine');
  return { machine: made.machine, program: made.machine.program() };
}
function text(program: Program, path: string): string | Errno {
  const fd = program.open(path, { write: false });
  if (isErrno(fd)) return fd;
  const bytes = new Uint8Array(8192);
  const n = program.read(fd, bytes, 0n);
  expect(program.close(fd)).toBeUndefined();
  return isErrno(n) ? n : new TextDecoder().decode(bytes.subarray(0, n));
}
/** What `echo TEXT > PATH` says: undefined is success. */
function echo(program: Program, what: string, path: string): Errno | undefined {
  const fd = program.open(path, { read: false });
  if (isErrno(fd)) return fd;
  const n = program.write(fd, new TextEncoder().encode(`${what}\n`));
  expect(program.close(fd)).toBeUndefined();
  if (isErrno(n)) return n;
  expect(n).toBe(what.length + 1);
  return undefined;
}

const FILES: readonly (readonly [file: string, content: string])[] = [
  ['vendor', '0x1234\n'],
  ['device', '0x11e8\n'],
  ['subsystem_vendor', '0x1af4\n'],
  ['subsystem_device', '0x1100\n'],
  ['class', '0x00ff00\n'],
  ['revision', '0x10\n'],
  ['numa_node', '-1\n'],
  ['driver_override', 'vfio-pci\n'],
  ['modalias', 'pci:v00001234d000011E8sv00001AF4sd00001100bc00scFFi00\n'],
  [
    'uevent',
    'DRIVER=vfio-pci\nPCI_CLASS=FF00\nPCI_ID=1234:11E8\nPCI_SUBSYS_ID=1AF4:1100\n' +
      'PCI_SLOT_NAME=0000:00:04.0\nMODALIAS=pci:v00001234d000011E8sv00001AF4sd00001100bc00scFFi00\n',
  ],
  ['vfio-dev/vfio0/dev', '511:0\n'],
  ['vfio-dev/vfio0/uevent', 'MAJOR=511\nMINOR=0\nDEVNAME=vfio/devices/vfio0\n'],
  ['iommu/intel-iommu/version', '1:0\n'],
];

const LINKS: readonly (readonly [path: string, target: string, real: string])[] = [
  [EDU, '../../../devices/pci0000:00/0000:00:04.0', '/sys/devices/pci0000:00/0000:00:04.0'],
  [`${EDU}/driver`, '../../../bus/pci/drivers/vfio-pci', VFIO_PCI],
  [`${EDU}/subsystem`, '../../../bus/pci', '/sys/bus/pci'],
  [`${EDU}/iommu_group`, '../../../kernel/iommu_groups/0', '/sys/kernel/iommu_groups/0'],
  [`${EDU}/iommu`, '../../virtual/iommu/dmar0', '/sys/devices/virtual/iommu/dmar0'],
  [`${EDU}/vfio-dev/vfio0/device`, '../../../0000:00:04.0', '/sys/devices/pci0000:00/0000:00:04.0'],
  [
    `${VFIO_PCI}/0000:00:04.0`,
    '../../../../devices/pci0000:00/0000:00:04.0',
    '/sys/devices/pci0000:00/0000:00:04.0',
  ],
  [`${VFIO_PCI}/module`, '../../../../module/vfio_pci', '/sys/module/vfio_pci'],
  [
    '/sys/class/iommu/dmar0',
    '../../devices/virtual/iommu/dmar0',
    '/sys/devices/virtual/iommu/dmar0',
  ],
  ['/sys/class/vfio/0', '../../devices/virtual/vfio/0', '/sys/devices/virtual/vfio/0'],
  [
    '/sys/class/vfio-dev/vfio0',
    '../../devices/pci0000:00/0000:00:04.0/vfio-dev/vfio0',
    '/sys/devices/pci0000:00/0000:00:04.0/vfio-dev/vfio0',
  ],
  [
    '/sys/kernel/iommu_groups/0/devices/0000:00:04.0',
    '../../../../devices/pci0000:00/0000:00:04.0',
    '/sys/devices/pci0000:00/0000:00:04.0',
  ],
  ['/sys/class/misc/iommu', '../../devices/virtual/misc/iommu', '/sys/devices/virtual/misc/iommu'],
  ['/sys/class/misc/vfio', '../../devices/virtual/misc/vfio', '/sys/devices/virtual/misc/vfio'],
  ['/sys/dev/char/10:126', '../../devices/virtual/misc/iommu', '/sys/devices/virtual/misc/iommu'],
  ['/sys/dev/char/10:196', '../../devices/virtual/misc/vfio', '/sys/devices/virtual/misc/vfio'],
  ['/sys/dev/char/243:0', '../../devices/virtual/vfio/0', '/sys/devices/virtual/vfio/0'],
  [
    '/sys/dev/char/511:0',
    '../../devices/pci0000:00/0000:00:04.0/vfio-dev/vfio0',
    '/sys/devices/pci0000:00/0000:00:04.0/vfio-dev/vfio0',
  ],
  ['/sys/module/vfio/holders/vfio_pci_core', '../../vfio_pci_core', '/sys/module/vfio_pci_core'],
  ['/sys/module/vfio_pci/drivers/pci:vfio-pci', '../../../bus/pci/drivers/vfio-pci', VFIO_PCI],
  [
    '/sys/devices/virtual/iommu/dmar0/devices/0000:00:04.0',
    '../../../../pci0000:00/0000:00:04.0',
    '/sys/devices/pci0000:00/0000:00:04.0',
  ],
];

describe('what a client reads', () => {
  test.for(FILES)('%s of the edu reads as on Linux', ([file, content]) => {
    expect(text(boot().program, `${EDU}/${file}`)).toBe(content);
  });
  test.for([
    ['/sys/class/misc/iommu/dev', '10:126\n'],
    ['/sys/class/misc/iommu/uevent', 'MAJOR=10\nMINOR=126\nDEVNAME=iommu\nDEVMODE=0660\n'],
    ['/sys/class/misc/vfio/uevent', 'MAJOR=10\nMINOR=196\nDEVNAME=vfio/vfio\nDEVMODE=0666\n'],
    ['/sys/module/vfio_pci/initstate', 'live\n'],
    ['/sys/module/vfio_pci/refcnt', '0\n'],
    ['/sys/module/vfio/refcnt', '2\n'],
    ['/sys/module/iommufd/coresize', '131072\n'],
  ] as const)('%s says what there is', ([path, content]) => {
    expect(text(boot().program, path)).toBe(content);
  });
  test.for([
    ['5.8', ['vfio'], false],
    ['7.3', ['iommu', 'vfio'], true],
  ] as const)(
    'a kernel of %s has the modules and misc devices it can have',
    ([version, misc, has]) => {
      const made = createMachine({ kernel: { version } });
      if ('problems' in made) throw new Bug('no such kernel');
      const program = made.machine.program();
      expect(program.readdir('/sys/class/misc')).toEqual(misc);
      expect(must(program.readdir('/sys/module')).includes('iommufd')).toBe(has);
      expect(must(program.readdir('/sys/module'))).not.toContain('pcieport');
      expect(program.readlink('/sys/bus/pci/drivers/pcieport/module')).toBe(ENOENT);
    },
  );
  test.for(LINKS)('%s is a link', ([path, target, real]) => {
    const { program } = boot();
    expect(program.readlink(path)).toBe(target);
    expect(program.realpath(path)).toBe(real);
  });
  test('resource has 13 lines, the first for BAR 0', () => {
    const lines = text(boot().program, `${EDU}/resource`) as string;
    expect(lines.split('\n')).toHaveLength(14);
    expect(
      lines.startsWith(
        '0x00000000e0000000 0x00000000e00fffff 0x0000000000040200\n0x0000000000000000 ',
      ),
    ).toBe(true);
  });
  test('every link of every preset leads somewhere', () => {
    for (const preset of Object.keys(PRESETS)) {
      const { program } = boot(preset);
      for (const path of allLinks(program, '/sys')) {
        expect([preset, path, isErrno(program.realpath(path))]).toEqual([preset, path, false]);
      }
    }
  });
});

describe('relations', () => {
  test('a bridge holds what is behind it', () => {
    const { program } = boot('pcie-to-pci-bridge');
    expect(program.realpath('/sys/bus/pci/devices/0000:02:05.0')).toBe(
      '/sys/devices/pci0000:00/0000:00:01.0/0000:01:00.0/0000:02:05.0',
    );
  });
  test('virtual functions and their physical one name each other', () => {
    const { program } = boot('sriov');
    const at = '/sys/bus/pci/devices/0000:01';
    expect(program.readlink(`${at}:00.0/virtfn1`)).toBe('../0000:01:10.1');
    expect(program.readlink(`${at}:10.0/physfn`)).toBe('../0000:01:00.0');
  });
  test('groups say their type and reserved regions', () => {
    const { program } = boot('direct-mapped');
    const group = '/sys/kernel/iommu_groups/0';
    expect(text(program, `${group}/type`)).toBe('DMA-FQ\n');
    expect(text(program, `${group}/reserved_regions`)).toBe(
      '0x000000007b000000 0x000000007b7fffff direct\n0x00000000fee00000 0x00000000feefffff msi\n',
    );
  });
  test('without an IOMMU the group is a fake one, and the cdev says so', () => {
    const { program, machine } = boot('noiommu');
    expect(program.readdir('/dev/vfio')).toEqual(['vfio', 'noiommu-0', 'devices']);
    expect(program.readdir('/dev/vfio/devices')).toEqual(['noiommu-vfio0']);
    expect(text(program, '/sys/kernel/iommu_groups/0/name')).toBe('vfio-noiommu\n');
    expect(program.readdir('/sys/class/iommu')).toEqual([]);
    expect(machine.env.tainted).toBe(true);
  });
  test('paths fail as the kernel says', () => {
    const { program } = boot();
    expect(program.readdir('/sys/nowhere')).toBe(ENOENT);
    expect(program.readdir(`${EDU}/vendor`)).toBe(ENOTDIR);
    expect(program.open(`${EDU}/vendor/x`)).toBe(ENOTDIR);
    expect(program.readlink(`${EDU}/vendor`)).toBe(EINVAL);
    expect(text(program, `${VFIO_PCI}/bind`)).toBe(EACCES);
    expect(text(program, `${EDU}/resource0`)).toBe(EIO);
  });
});

function* allLinks(program: Program, path: string): Generator<string> {
  for (const name of program.readdir(path) as string[]) {
    const at = `${path}/${name}`;
    if (!isErrno(program.readlink(at))) yield at;
    else if (!isErrno(program.readdir(at))) yield* allLinks(program, at);
  }
}

describe('configuration space', () => {
  test('configuration space is read whole by root, and the header by others', () => {
    const { machine, program } = boot();
    const read = (who: Program): number => {
      const fd = who.open(`${EDU}/config`) as number;
      return who.read(fd, new Uint8Array(4096), 0n) as number;
    };
    expect(read(program)).toBe(256);
    expect(read(machine.program({ uid: 1000 }))).toBe(64);
  });
  test('writes to configuration space reach the hardware, whatever their width and alignment', () => {
    const { machine, program } = boot();
    const { fn } = machine.pci.device('0000:00:04.0')!;
    const fd = program.open(`${EDU}/config`) as number;
    expect(program.write(fd, Uint8Array.of(0x06), 4n)).toBe(1);
    expect(fn.readConfig(4, 2)).toBe(6);
    expect(program.write(fd, Uint8Array.of(0x07, 0, 0xff, 0xff, 0x55), 0x39n)).toBe(5);
    expect(fn.readConfig(0x3c, 1)).toBe(0xff);
  });
});

describe('driver binding', () => {
  test('unbind takes the nodes away, bind brings them back', () => {
    const { program } = boot();
    expect(echo(program, '0000:00:04.0', `${VFIO_PCI}/unbind`)).toBeUndefined();
    expect(program.readdir('/dev/vfio')).toEqual(['vfio']);
    expect(program.readlink(`${EDU}/driver`)).toBe(ENOENT);
    expect(program.readdir(`${EDU}/vfio-dev`)).toBe(ENOENT);
    expect(echo(program, '0000:00:04.0', `${VFIO_PCI}/bind`)).toBeUndefined();
    expect(program.readdir('/dev/vfio/devices')).toEqual(['vfio0']);
  });
  test.for([
    ['no such device', '0000:00:09.0', `${VFIO_PCI}/bind`, ENODEV],
    ['bound already', '0000:00:04.0', `${VFIO_PCI}/bind`, EBUSY],
    ['a driver that does not match', '0000:00:04.0', '/sys/bus/pci/drivers/nvme/bind', ENODEV],
    ['bound to another driver', '0000:00:04.0', '/sys/bus/pci/drivers/nvme/unbind', ENODEV],
    ['probe of nothing', '0000:00:09.0', '/sys/bus/pci/drivers_probe', ENODEV],
    ['half an id', '1234', `${VFIO_PCI}/new_id`, EINVAL],
    ['no id at all', 'edu edu', `${VFIO_PCI}/new_id`, EINVAL],
    ['an id nobody gave', '1234 11e8', `${VFIO_PCI}/remove_id`, ENODEV],
    ['half an id to remove', '1234', `${VFIO_PCI}/remove_id`, EINVAL],
    ['no truth value', 'maybe', '/sys/bus/pci/drivers_autoprobe', EINVAL],
    ['an override as long as a page', 'x'.repeat(4096), `${EDU}/driver_override`, EINVAL],
    ['enabling with a driver', '1', `${EDU}/enable`, EBUSY],
    ['enabling by a word', 'on', `${EDU}/enable`, EINVAL],
  ] as const)("a write to a driver's files is answered: %s", ([, what, path, errno]) => {
    expect(echo(boot().program, what, path)).toBe(errno);
  });
});

describe('overrides and ids', () => {
  test('an override sends the device to another driver, and an empty one takes it back', () => {
    const { program } = boot();
    expect(echo(program, '0000:00:04.0', `${VFIO_PCI}/unbind`)).toBeUndefined();
    expect(echo(program, 'pci-stub', `${EDU}/driver_override`)).toBeUndefined();
    expect(echo(program, '0000:00:04.0', `${VFIO_PCI}/bind`)).toBe(ENODEV);
    expect(echo(program, '0000:00:04.0', '/sys/bus/pci/drivers_probe')).toBeUndefined();
    expect(program.readlink(`${EDU}/driver`)).toBe('../../../bus/pci/drivers/pci-stub');
    expect(echo(program, '', `${EDU}/driver_override`)).toBeUndefined();
    expect(text(program, `${EDU}/driver_override`)).toBe('(null)\n');
  });
  test('a new id takes unbound devices at once, and is known only once', () => {
    const { program } = boot();
    expect(echo(program, '0000:00:04.0', `${VFIO_PCI}/unbind`)).toBeUndefined();
    expect(echo(program, '', `${EDU}/driver_override`)).toBeUndefined();
    expect(echo(program, '1234 11e8', `${VFIO_PCI}/new_id`)).toBeUndefined();
    expect(program.readdir('/dev/vfio/devices')).toEqual(['vfio0']);
    expect(echo(program, '1234 11e8', `${VFIO_PCI}/new_id`)).toBe(EEXIST);
    expect(echo(program, '1234 11e8', `${VFIO_PCI}/remove_id`)).toBeUndefined();
  });
  test('a new id is offered every device without a driver, by this driver only (4.2)', () => {
    const { program } = boot();
    const STUB = '/sys/bus/pci/drivers/pci-stub';
    const steps: readonly (readonly [
      what: string,
      path: string,
      answer: string,
      driver: string,
    ])[] = [
      ['0000:00:04.0', `${VFIO_PCI}/unbind`, 'ok', 'ENOENT'],
      ['1234 5678', `${STUB}/new_id`, 'ok', 'ENOENT'],
      ['1234 11e8', `${STUB}/new_id`, 'ok', 'ENOENT'], //       the override names another
      ['8086 10d3', `${VFIO_PCI}/new_id`, 'ok', 'vfio-pci'], // the override names it
      ['8086 10d3', `${VFIO_PCI}/new_id`, 'EEXIST', 'vfio-pci'],
      ['8086 10d3', `${VFIO_PCI}/remove_id`, 'ok', 'vfio-pci'],
      ['0000:00:04.0', `${VFIO_PCI}/unbind`, 'ok', 'ENOENT'],
      ['', `${EDU}/driver_override`, 'ok', 'ENOENT'],
      ['1234 9abc', `${VFIO_PCI}/new_id`, 'ok', 'ENOENT'], //   pci-stub would take it, and is not asked
      ['1234 def0', `${STUB}/new_id`, 'ok', 'pci-stub'],
    ];
    for (const [what, path, answer, driver] of steps) {
      const rc = echo(program, what, path);
      const bound = program.readlink(`${EDU}/driver`);
      const name = isErrno(bound) ? bound.name : bound.split('/').pop();
      expect([what, path, rc?.name ?? 'ok', name]).toEqual([what, path, answer, driver]);
    }
  });
  test('a write of no bytes changes nothing', () => {
    const { program } = boot();
    const paths = [`${EDU}/driver_override`, `${VFIO_PCI}/unbind`, `${EDU}/enable`];
    for (const path of paths) {
      const fd = must(program.open(path, { read: false }));
      expect([path, program.write(fd, new Uint8Array(0))]).toEqual([path, 0]);
    }
    expect(text(program, `${EDU}/driver_override`)).toBe('vfio-pci\n');
    expect(program.readdir('/dev/vfio/devices')).toEqual(['vfio0']);
  });
});

describe('drivers that refuse, and that wait', () => {
  test('without an IOMMU vfio-pci refuses the device while the parameter is N', () => {
    const { program } = boot('noiommu');
    const parameter = '/sys/module/vfio/parameters/enable_unsafe_noiommu_mode';
    expect(text(program, parameter)).toBe('Y\n');
    expect(echo(program, '0', parameter)).toBeUndefined();
    expect(text(program, parameter)).toBe('N\n');
    expect(echo(program, 'perhaps', parameter)).toBe(EINVAL);
    expect(echo(program, '0000:00:04.0', `${VFIO_PCI}/unbind`)).toBeUndefined();
    expect(echo(program, '0000:00:04.0', `${VFIO_PCI}/bind`)).toBe(EINVAL);
    expect(echo(program, 'on', parameter)).toBeUndefined();
    expect(echo(program, '0000:00:04.0', `${VFIO_PCI}/bind`)).toBeUndefined();
  });
  test('unbind of a device in use waits; with nobody to close it that is a deadlock', () => {
    const { machine, program } = boot();
    const device = machine.vfio.deviceOf(machine.pci.device('0000:00:04.0')!.dev)!;
    device.openCount = 1;
    machine.env.clock.after(35e9, () => {
      device.openCount = 0;
    });
    expect(echo(program, '0000:00:04.0', `${VFIO_PCI}/unbind`)).toBeUndefined();
    expect(machine.env.clock.nowNs).toBeGreaterThanOrEqual(35e9);
    const lonely = machine.program();
    expect(lonely.eventfd()).toBe(3);
    expect(lonely.read(3, new Uint8Array(8))).toBe(EDEADLK);
  });
});

describe('devices come and go', () => {
  test('remove forgets a bridge and all behind it, rescan finds them again', () => {
    const { machine, program } = boot('multifunction');
    expect(echo(program, '1', '/sys/bus/pci/devices/0000:00:01.0/remove')).toBeUndefined();
    expect(program.readdir('/sys/bus/pci/devices')).toEqual([]);
    expect([...machine.core.groups.entries()]).toEqual([]);
    expect(echo(program, '1', '/sys/bus/pci/rescan')).toBeUndefined();
    expect(program.readdir('/sys/bus/pci/devices')).toHaveLength(3);
    expect(program.readdir('/sys/kernel/iommu_groups/1/devices')).toEqual([
      '0000:01:00.0',
      '0000:01:00.1',
    ]);
  });
  test('enable switches decoding of an unbound device, for root only', () => {
    const { machine, program } = boot();
    expect(echo(program, '0000:00:04.0', `${VFIO_PCI}/unbind`)).toBeUndefined();
    const user = machine.program({ uid: 1000 });
    expect(echo(user, '1', `${EDU}/enable`)).toBe(EACCES);
    const owner = machine.program({ uid: 0, capabilities: [] });
    expect(echo(owner, '1', `${EDU}/enable`)).toBe(EPERM);
    expect(echo(program, '0', `${EDU}/enable`)).toBe(EIO);
    expect(echo(program, '1', `${EDU}/enable`)).toBeUndefined();
    expect(text(program, `${EDU}/enable`)).toBe('1\n');
    expect(echo(program, '0', `${EDU}/enable`)).toBeUndefined();
    expect(machine.pci.device('0000:00:04.0')!.fn.memoryEnabled).toBe(false);
  });
  test('reset brings the device back to power-on', () => {
    const { machine, program } = boot('multifunction');
    const reset = '/sys/bus/pci/devices/0000:01:00.0/reset';
    const { window } = machine.pci.device('0000:01:00.0')!.fn.bars[0]!;
    window.store(4, 4, 5n);
    expect(echo(program, '2', reset)).toBe(EINVAL);
    expect(window.load(4, 4)).toBe(0xffff_fffan);
    expect(echo(program, '1', reset)).toBeUndefined();
    expect(window.load(4, 4)).toBe(0n);
  });
});

test('the type of a group is written by the privileged, while no driver uses it', () => {
  const { machine, program } = boot();
  const type = '/sys/kernel/iommu_groups/0/type';
  expect(echo(machine.program({ uid: 0, capabilities: [] }), 'identity', type)).toBe(EACCES);
  expect(echo(program, 'sideways', type)).toBe(EINVAL);
  expect(echo(program, 'identity', type)).toBeUndefined();
  expect(text(program, type)).toBe('identity\n');
});
