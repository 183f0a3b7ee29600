import { describe, expect, test } from 'vitest';
import { Bug } from '../../base/bug.ts';
import { DEVICE_TYPES } from '../../devices/index.ts';
import { IOMMU_TYPES } from '../../drivers/types.ts';
import type { DeviceType } from '../../devices/port.ts';
import { parseDescription } from './description-check.ts';
import { PRESETS } from './presets.ts';

const TYPES = { devices: DEVICE_TYPES, iommus: IOMMU_TYPES };

/** 'devices.0.at: message' of every problem. */
function problems(value: unknown): string[] {
  const checked = parseDescription(value, TYPES);
  if (!('problems' in checked)) return [];
  return checked.problems.map((p) => `${p.path.join('.')}: ${p.message}`);
}
const edu = (at: string, more: object = {}): object => ({ type: 'edu', at, ...more });
const generic = (at: string, options: object): object => ({ type: 'generic', at, options });
const port = (at: string, devices: object[], type = 'root-port'): object => ({ type, at, devices });

test('an empty description is a machine: one Intel IOMMU and no device', () => {
  const checked = parseDescription({}, TYPES);
  if ('problems' in checked) throw new Bug('refused');
  expect(checked.description.iommus).toEqual([{ type: 'intel' }]);
  expect(checked.description.kernel.version).toBe('7.3');
});

test.for(Object.keys(PRESETS))('preset %s has no problem', (name) => {
  expect(problems(PRESETS[name]!.machine)).toEqual([]);
});

const SHAPES: readonly (readonly [what: string, value: unknown, problem: string])[] = [
  [
    'an unknown key',
    { machines: 1 },
    "machines: unknown key 'machines'; allowed: name, kernel, ramMiB, iommus, devices",
  ],
  [
    'an unknown key of a device',
    { devices: [edu('0000:00:04.0', { bus: 1 })] },
    "devices.0.bus: unknown key 'bus'; allowed: type, at",
  ],
  [
    'an unknown key of the kernel',
    { kernel: { versions: '7.3' } },
    "kernel.versions: unknown key 'versions'; allowed: version, with, without",
  ],
  [
    'an unknown kernel',
    { kernel: { version: 'new' } },
    "kernel.version: must be a version of Linux in quotes, such as '6.12' or '6.8.0-45-generic', not 'new'",
  ],
  [
    'a kernel without groups, of a version without cdevs',
    { kernel: { version: '6.2', with: ['vfio-cdev-only'] } },
    'kernel.with: vfio-cdev-only cannot be in a kernel with vfio-groups-only: VFIO has no cdevs',
  ],
  [
    'iommufd as the container of a kernel before it',
    { kernel: { version: '5.8', with: ['vfio-container-iommufd'] } },
    'kernel.with: vfio-container-iommufd cannot be in a kernel with no-iommufd: there is no iommufd',
  ],
  [
    'an unknown trait',
    { kernel: { with: ['fast'] } },
    "kernel.with.0: 'fast' is not allowed; allowed: bus-domain-alloc-last-device",
  ],
  [
    'an unknown kind of IOMMU',
    { iommus: [{ type: 'amd' }] },
    "iommus.0.type: 'amd' is not allowed; allowed: intel, mock",
  ],
  [
    'a width no unit has',
    { iommus: [{ type: 'intel', width: 40 }] },
    'iommus.0.width: 40 is not allowed; allowed: 39, 48, 57',
  ],
  ['a bad address', { devices: [edu('4.0')] }, 'devices.0.at: must be a PCI address'],
  ['device 32', { devices: [edu('0000:00:20.0')] }, 'devices.0.at: must be a PCI address'],
  [
    'an unknown driver',
    { devices: [edu('0000:00:04.0', { driver: 'vfio_pci' })] },
    "devices.0.driver: 'vfio_pci' is not allowed; allowed: vfio-pci, pci-stub",
  ],
  ['too much RAM', { ramMiB: 4096 }, 'ramMiB: must be at most 2048, not 4096'],
  ['half a MiB', { ramMiB: 0.5 }, 'ramMiB: must be a whole number, not 0.5'],
  ['a device that is none', { devices: [7] }, 'devices.0: must be keys and values, not 7'],
  ['devices that are none', { devices: null }, 'devices: must be a list, not nothing'],
  ['an IOMMU without a type', { iommus: [{}] }, 'iommus.0.type: is missing; allowed: intel, mock'],
  [
    'an option of another IOMMU',
    { iommus: [{ type: 'mock', width: 39 }] },
    "iommus.0.width: unknown key 'width'; allowed: type, name, pasidBits",
  ],
  [
    'a name that is a path',
    { iommus: [{ type: 'intel', name: '../x' }] },
    'iommus.0.name: must be 1 to 32 letters, digits',
  ],
  [
    'an option that is a list',
    { devices: [edu('0000:00:04.0', { options: { pcie: [] } })] },
    'devices.0.options.pcie: must be a number, text, true or false, not a list',
  ],
  [
    'a region that begins with a word',
    { devices: [edu('0000:00:04.0', { directRegions: [{ start: 'x', last: 0xfff }] })] },
    "devices.0.directRegions.0.start: must be a whole number, or hex digits in quotes such as '0x1000', not 'x'",
  ],
  [
    'a type of Object',
    { devices: [{ type: 'toString', at: '0000:00:04.0' }] },
    "devices.0.type: unknown device type 'toString'; allowed: ",
  ],
];

describe('shape', () => {
  test.for(SHAPES)('%s is refused', ([, value, problem]) => {
    const found = problems(value);
    expect(found).toHaveLength(1);
    expect(found[0]!.startsWith(problem)).toBe(true);
  });
});

const IMPOSSIBLE: readonly (readonly [what: string, devices: object[], problem: string])[] = [
  [
    'two functions at one address',
    [edu('0000:00:04.0'), edu('0000:00:04.0')],
    'devices.1.at: two functions are at 0000:00:04.0',
  ],
  [
    'an unknown device type',
    [{ type: 'edo', at: '0000:00:04.0' }],
    "devices.0.type: unknown device type 'edo'; allowed: ",
  ],
  [
    'an unknown option',
    [edu('0000:00:04.0', { options: { speed: 1 } })],
    "devices.0.options.speed: edu has no option 'speed'; allowed: dma_mask_bits, pcie, dma_delay_us",
  ],
  [
    'an option of the wrong type',
    [edu('0000:00:04.0', { options: { pcie: 1 } })],
    'devices.0.options.pcie: 1 is not allowed; allowed: true, false',
  ],
  [
    'an option of a bridge',
    [{ ...port('0000:00:01.0', [edu('0000:01:00.0')]), options: { x: 1 } }],
    "devices.0.options.x: a bridge has no options; 'x' is given",
  ],
  [
    'a bridge to nowhere',
    [port('0000:00:01.0', [])],
    'devices.0.devices: a bridge has devices behind it',
  ],
  [
    'a device behind an endpoint',
    [{ ...edu('0000:00:04.0'), devices: [edu('0000:01:00.0')] }],
    'devices.0.devices: only bridges have devices behind them, and edu is none',
  ],
  [
    'an unknown IOMMU',
    [edu('0000:00:04.0', { iommu: 'dmar1' })],
    "devices.0.iommu: unknown IOMMU 'dmar1'; allowed: dmar0, none",
  ],
  [
    'function 1 without function 0',
    [edu('0000:00:04.1')],
    'devices.0.at: a slot without function 0 is never looked at: add 0000:00:04.0',
  ],
  [
    'two buses behind one bridge',
    [port('0000:00:01.0', [edu('0000:01:00.0'), edu('0000:02:00.0')])],
    'devices.0.devices.1.at: the devices behind one bridge share a bus, here 0000:01',
  ],
  [
    'a bus number that does not rise',
    [port('0000:01:01.0', [edu('0000:01:00.0')])],
    'devices.0.at: bus 0000:01 is the one behind 0000:01:01.0',
  ],
  [
    'one bus behind two bridges',
    [port('0000:00:01.0', [edu('0000:01:00.0')]), port('0000:00:02.0', [edu('0000:01:00.1')])],
    'devices.1.devices.0.at: bus 0000:01 is already the one behind 0000:00:01.0',
  ],
  [
    'a root device on a bus behind a bridge',
    [port('0000:00:01.0', [edu('0000:01:00.0')]), edu('0000:01:05.0')],
    'devices.1.at: bus 0000:01 is the one behind 0000:00:01.0',
  ],
  [
    'a downstream port on a root bus',
    [port('0000:00:01.0', [edu('0000:01:00.0')], 'downstream-port')],
    'devices.0.type: a downstream-port stands behind a upstream-port',
  ],
  [
    'an endpoint behind an upstream port',
    [port('0000:00:01.0', [port('0000:01:00.0', [edu('0000:02:00.0')], 'upstream-port')])],
    'devices.0.devices.0.devices.0.type: behind an upstream-port there are downstream-ports only',
  ],
  [
    'device 4 at the end of a link',
    [port('0000:00:01.0', [edu('0000:01:04.0')])],
    'devices.0.devices.0.at: the device at the end of a PCIe link has device number 00',
  ],
  [
    'a VF without its PF',
    [{ type: 'generic', at: '0000:00:10.0', vfOf: '0000:00:04.0' }],
    'devices.0.vfOf: there is no physical function at 0000:00:04.0',
  ],
  [
    'a VF of a VF',
    [
      generic('0000:00:04.0', {}),
      { ...generic('0000:00:10.0', {}), vfOf: '0000:00:04.0' },
      { ...generic('0000:00:10.1', {}), vfOf: '0000:00:10.0' },
    ],
    'devices.2.vfOf: 0000:00:10.0 is no physical function',
  ],
  [
    'a BAR that is no power of two',
    [generic('0000:00:04.0', { bar_size: 5000 })],
    'devices.0.options: BAR 0: the size of a mem64 BAR is a power of two from 16 on',
  ],
  [
    'a BAR too large',
    [generic('0000:00:04.0', { bar_size: 2 ** 40 })],
    'devices.0.options.bar_size: 1099511627776 is not allowed; allowed: whole numbers from 0 to 68719476736',
  ],
  [
    'a PASID of 21 bits',
    [generic('0000:00:04.0', { pasid_bits: 21 })],
    'devices.0.options.pasid_bits: 21 is not allowed; allowed: whole numbers from 0 to 20',
  ],
  [
    'half a vector',
    [generic('0000:00:04.0', { msix_vectors: 0.5 })],
    'devices.0.options.msix_vectors: 0.5 is not allowed; allowed: whole numbers from 0 to 2048',
  ],
  [
    'a number in quotes',
    [edu('0000:00:04.0', { options: { dma_mask_bits: '\x1b[2J32' } })],
    "devices.0.options.dma_mask_bits: '\\x1b[2J32' is not allowed; allowed: whole numbers from 1 to 64",
  ],
  [
    'ATS without PCIe',
    [generic('0000:00:04.0', { pcie: false, ats: true })],
    'devices.0.options: only a PCIe function has ATS, and this one is conventional',
  ],
  [
    'page requests without ATS',
    [generic('0000:00:04.0', { pri: true })],
    'devices.0.options: page requests (PRI) are part of ATS, which is off',
  ],
  [
    'PCIe on a conventional bus',
    [port('0000:00:01.0', [generic('0000:01:00.0', {})], 'pci-bridge')],
    'devices.0.devices.0.type: no PCIe function stands on the conventional bus of a pci-bridge',
  ],
  [
    'a direct region of half a page',
    [edu('0000:00:04.0', { directRegions: [{ start: 0, last: 0x7ff }] })],
    'devices.0.directRegions: 0 to 2047 is no region: it covers whole pages of 4 KiB, last inclusive',
  ],
  [
    'a host driver on a bridge',
    [{ ...port('0000:00:01.0', [edu('0000:01:00.0')]), driver: 'nvme' }],
    'devices.0.driver: nvme does not drive a root-port; allowed: pcieport, none',
  ],
  [
    'pcieport on an endpoint',
    [edu('0000:00:04.0', { driver: 'pcieport' })],
    'devices.0.driver: pcieport does not drive a edu; allowed: any but pcieport',
  ],
];

describe('impossible hardware', () => {
  test.for(IMPOSSIBLE)('hardware that is impossible is refused: %s', ([, devices, problem]) => {
    expect(problems({ devices }).find((text) => text.startsWith(problem))).toBeDefined();
  });
  test('a VF away from its PF is refused', () => {
    const devices = [
      generic('0000:00:04.0', {}),
      port('0000:00:01.0', [{ ...generic('0000:01:00.0', {}), vfOf: '0000:00:04.0' }]),
    ];
    expect(problems({ devices })).toEqual([
      'devices.1.devices.0.vfOf: a virtual function stands beside its physical function 0000:00:04.0',
    ]);
  });
  test('two IOMMUs of one name, and one called none, are refused', () => {
    const iommus = [
      { type: 'intel', name: 'a' },
      { type: 'mock', name: 'a' },
      { type: 'intel', name: 'none' },
    ];
    expect(problems({ iommus })).toEqual([
      'iommus.1.name: two IOMMUs are called a',
      "iommus.2.name: 'none' means no IOMMU at all",
    ]);
  });
  test('every problem is reported at once', () => {
    const devices = [edu('0000:00:04.1', { iommu: 'x' }), { type: 'edo', at: '0000:00:05.0' }];
    expect(problems({ devices })).toHaveLength(3);
  });
});

test('a description is checked without making a device', () => {
  let made = 0;
  const counted: DeviceType = {
    ...DEVICE_TYPES.get('edu')!,
    create(port, options) {
      made++;
      return DEVICE_TYPES.get('edu')!.create(port, options);
    },
  };
  const types = { ...TYPES, devices: new Map([['counted', counted]]) };
  const checked = parseDescription({ devices: [{ type: 'counted', at: '0000:00:04.0' }] }, types);
  expect([made, 'problems' in checked]).toEqual([0, false]);
});
