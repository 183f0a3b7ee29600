/** The index of modules against what depmod(8) of kmod 30 made of the same files. */
import { expect, test } from 'vitest';
import { Machine } from '../machine.ts';
import {
  aliasIndex,
  aliasText,
  builtInIndex,
  builtInText,
  dependencyIndex,
  dependencyText,
  filePathOf,
  symbolIndex,
} from './module-index.ts';
import { loadedModules } from './modules.ts';

const machine = new Machine();
const vfio = loadedModules(machine.env, machine.drivers).slice(0, 6);

/** `depmod` over files of these names in this order (modules.order). */
const BY_DEPMOD =
  'sAf0VwACAAEgAAF9bW11ZmQAAAAAAQAAAAFrZXJuZWwvZHJpdmVycy9pb21tdS9pb21tdWZkL2lvbW11ZmQua286AHFieXBhc3MA' +
  'AAAAAQAAAABrZXJuZWwvdmlydC9saWIvaXJxYnlwYXNzLmtvOgBvcsAAAAwAAAAAAAAAAMAAAENvbW11X3R5cGUxAAAAAAEAAAAD' +
  'a2VybmVsL2RyaXZlcnMvdmZpby92ZmlvX2lvbW11X3R5cGUxLmtvOgBjb3JlAAAAAAEAAAAEa2VybmVsL2RyaXZlcnMvdmZpby9w' +
  'Y2kvdmZpby1wY2ktY29yZS5rbzoAY2kAX1/AAAC/AAAAAQAAAAVrZXJuZWwvZHJpdmVycy92ZmlvL3BjaS92ZmlvLXBjaS5rbzoA' +
  'aXDAAACDAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA4AAA9mZpbwBfXyAAASwAAAABAAAAAmtlcm5lbC9kcml2ZXJzL3ZmaW8vdmZp' +
  'by5rbzoAaXYgAABxAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA4AABTg==';

test('the index of the modules of VFIO is byte for byte the one of depmod', () => {
  const index = Buffer.from(dependencyIndex(vfio)).toString('base64');
  expect(index).toBe(BY_DEPMOD);
});
/** `depmod` over the same, of what these files say of themselves, and of modules.builtin. */
const ALIASES_BY_DEPMOD =
  'sAf0VwACAAEgAAB0aGFyX21ham9yXzEwXzE5NgAAAAABAAAAAnZmaW8AZXZuYW1lOnZmaW8vdmZpbwAAAAABAAAAAnZmaW8AZmlv' +
  'X3BjaTp2KmQqc3Yqc2QqYmMqc2MqaSoAAAAAAQAAAAV2ZmlvX3BjaQBjdsAAAAzAAAAqAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA' +
  'AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAADAAABI';
const BUILT_IN_BY_DEPMOD =
  'sAf0VwACAAEgAABMc3R1YgAAAAABAAAAAABwb3J0ZHJ2AAAAAAEAAAAAAGNpAF9lwAAADAAAAAAAAAAAAAAAAAAAAAAAAAAAwAAA' +
  'GnBwoAAAKw==';
const EMPTY_BY_DEPMOD = 'sAf0VwACAAEAAAAM';

test.for([
  ['other names', aliasIndex(vfio), ALIASES_BY_DEPMOD],
  ['what is built in', builtInIndex(), BUILT_IN_BY_DEPMOD],
  ['symbols, of which there are none', symbolIndex(), EMPTY_BY_DEPMOD],
  ['no modules', dependencyIndex([]), EMPTY_BY_DEPMOD],
] as const)('the index of %s is byte for byte the one of depmod', ([, index, byDepmod]) => {
  expect(Buffer.from(index).toString('base64')).toBe(byDepmod);
});
test('modules.alias and modules.builtin say the same in words', () => {
  expect(aliasText(vfio)).toBe(
    'alias devname:vfio/vfio vfio\nalias char-major-10-196 vfio\n' +
      'alias vfio_pci:v*d*sv*sd*bc*sc*i* vfio_pci\n',
  );
  expect(builtInText()).toBe(
    'kernel/drivers/pci/pcie/pcieportdrv.ko\nkernel/drivers/pci/pci-stub.ko\n',
  );
});
test('modules.dep has a line for each module, which needs nothing more to be loaded', () => {
  expect(dependencyText(vfio).split('\n').slice(0, 6)).toEqual(
    vfio.map((module) => `${filePathOf(module)}:`),
  );
});
