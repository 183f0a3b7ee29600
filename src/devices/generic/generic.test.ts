import { expect, test } from 'vitest';
import { withDefaults, type OptionValues } from '../../base/options.ts';
import { plugInto } from '../../testing/devices/fake-port.ts';
import { generic } from './generic.ts';

/** From the first byte up to the last but one. */
const plain = (offset: number, end: number) => ({ offset, length: end - offset });
const identity = (given: OptionValues) => generic.identity(withDefaults(generic.options, given));

test('without options it has one BAR and a table of MSI-X in another', () => {
  expect(identity({}).bars).toEqual([
    { index: 0, size: 0x4000, kind: 'mem64', plain: [plain(0, 0x4000)] },
    { index: 4, size: 0x2000, kind: 'mem32', plain: [] },
  ]);
  expect(identity({ bar_size: 0, msix_vectors: 0 }).bars).toEqual([]);
});

test('a list of BARs takes the place of all, and the table of MSI-X lies where it is said', () => {
  const pci = identity({
    bars: '0:mem64p:0x100000,2:io:32,3:mem32p:4096',
    msix_vectors: 300,
    msix_bar: 0,
    msix_table: 0x8000,
    msix_pba: 0xc000,
    vfs: 2,
  });
  expect(pci.bars).toEqual([
    {
      ...{ index: 0, size: 0x10_0000, kind: 'mem64', prefetchable: true },
      plain: [plain(0, 0x8000), plain(0xa000, 0xc000), plain(0xd000, 0x10_0000)],
    },
    { index: 2, size: 32, kind: 'io', plain: [] },
    { index: 3, size: 4096, kind: 'mem32', prefetchable: true, plain: [plain(0, 4096)] },
  ]);
  expect(pci.msix).toEqual({ vectors: 300, bar: 0, tableOffset: 0x8000, pbaOffset: 0xc000 });
  expect(pci.sriov?.bars.map(({ index }) => index)).toEqual([0, 3]);
});

test.each([
  ['', true],
  ['0:io:4', true],
  ['0:mem64:0x10,2:mem32:16', true],
  ['6:io:4', false],
  ['0:mem16:4', false],
  ['0:io:4,', false],
  ['0:io', false],
  ['0:io:-4', false],
  ['0:io:4 ', false],
])("bars: '%s' is a list of BARs: %s", (text, is) => {
  const option = generic.options['bars'];
  expect(option?.kind === 'text' && option.form?.pattern.test(text)).toBe(is);
});

test.for<[string, OptionValues]>([
  ['with plain pages', {}],
  ['without', { bars: '0:mem32:64,2:io:32', msix_vectors: 0 }],
])(
  'BARs %s do not hold what was written to others, and what they hold is taken to another',
  ([, given]) => {
    const [{ device }, other] = [plugInto(generic, given), plugInto(generic, given)];
    device.mmioWrite(0, 8, 4, 0x1122_3344n);
    device.mmioWrite(2, 8, 1, 0x55n);
    const values = (of: typeof device) => [of.mmioRead(0, 8, 4), of.mmioRead(2, 8, 4)];
    expect(values(device)).toEqual([0x1122_3344n, 0x55n]);
    other.device.restore(structuredClone(device.state()));
    expect(values(other.device)).toEqual(values(device));
    expect(other.device.state()).toEqual(device.state());
    device.mmioWrite(0, 8, 4, 0n);
    device.reset('flr');
    expect(device.state()).toEqual(plugInto(generic, given).device.state());
  },
);
