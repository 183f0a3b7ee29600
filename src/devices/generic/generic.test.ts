import { expect, test } from 'vitest';
import { withDefaults, type OptionValues } from '../../base/options.ts';
import { generic } from './generic.ts';

const identity = (given: OptionValues) => generic.identity(withDefaults(generic.options, given));

test('without options it has one BAR and a table of MSI-X in another', () => {
  expect(identity({}).bars).toEqual([
    { index: 0, size: 0x4000, kind: 'mem64' },
    { index: 4, size: 0x2000, kind: 'mem32' },
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
    { index: 0, size: 0x10_0000, kind: 'mem64', prefetchable: true },
    { index: 2, size: 32, kind: 'io' },
    { index: 3, size: 4096, kind: 'mem32', prefetchable: true },
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

test('BARs do not hold what was written to others', () => {
  // cast: it uses nothing of its port
  const model = generic.create(undefined as never, {});
  model.mmioWrite(0, 8, 4, 0x1122_3344n);
  model.mmioWrite(2, 8, 1, 0x55n);
  expect(model.mmioRead(0, 8, 4)).toBe(0x1122_3344n);
  expect(model.mmioRead(2, 8, 4)).toBe(0x55n);
});
