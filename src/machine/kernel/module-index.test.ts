/** The index of modules against what depmod(8) of kmod 30 made of the same files. */
import { expect, test } from 'vitest';
import { Machine } from '../machine.ts';
import { dependencyIndex, dependencyText, filePathOf } from './module-index.ts';
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
test('an index of nothing is a header', () => {
  expect([...dependencyIndex([])]).toEqual([0xb0, 0x07, 0xf4, 0x57, 0, 2, 0, 1, 0, 0, 0, 0]);
});
test('modules.dep has a line for each module, which needs nothing more to be loaded', () => {
  expect(dependencyText(vfio).split('\n').slice(0, 6)).toEqual(
    vfio.map((module) => `${filePathOf(module)}:`),
  );
});
