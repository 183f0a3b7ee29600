/** Kernels with one way to devices: which nodes they have, and which releases cannot be built so. */
import { describe, expect, test } from 'vitest';
import { Machine } from '../machine.ts';
import { BACKEND_NAMES, type BackendName } from './backend-names.ts';
import { withBackend } from './backends.ts';
import { DEFAULT_MACHINE } from './default-machine.ts';
import type { MachineDescription } from './description.ts';

function made(
  name: BackendName,
  machine: MachineDescription = DEFAULT_MACHINE,
): MachineDescription {
  const changed = withBackend(machine, name);
  if ('problem' in changed) throw new Error(changed.problem);
  return changed;
}
const nodesOf = (machine: MachineDescription): string[] =>
  [...new Machine(machine).vfio.nodes()].map(({ path }) => path).sort();
const onKernel = (version: string): MachineDescription => ({
  ...DEFAULT_MACHINE,
  kernel: { version, with: [], without: [] },
});

// Which of them iommufd plays, /dev/vfio/vfio of compat among them, is no node of VFIO.
test.each([
  ['type1', ['vfio/0', 'vfio/vfio']],
  ['type1v2', ['vfio/0', 'vfio/vfio']],
  ['compat', ['vfio/0']],
  ['cdev', ['vfio/devices/vfio0']],
  ['noiommu-group', ['vfio/noiommu-0', 'vfio/vfio']],
  ['noiommu-cdev', ['vfio/devices/noiommu-vfio0']],
] as const)('%s has these nodes and no others', (name, nodes) => {
  expect(nodesOf(made(name))).toEqual(nodes);
});

describe('of a kernel', () => {
  const possible = (version: string) =>
    BACKEND_NAMES.filter((name) => !('problem' in withBackend(onKernel(version), name)));
  test.each([
    ['6.1', ['type1', 'type1v2', 'noiommu-group']],
    ['6.2', ['type1', 'type1v2', 'compat', 'noiommu-group']],
    ['6.12', ['type1', 'type1v2', 'compat', 'cdev', 'noiommu-group']],
    ['7.3', BACKEND_NAMES],
  ] as const)('%s there can be', (version, names) => {
    expect(possible(version)).toEqual(names);
  });
  test('what it has not is said with its release', () => {
    expect(withBackend(onKernel('6.1'), 'cdev')).toEqual({
      problem: 'Linux 6.1 has no cdev: it is there since 6.6',
    });
  });
  test('one way replaces another', () => {
    for (const before of BACKEND_NAMES) {
      for (const name of BACKEND_NAMES.filter((other) => !other.startsWith('noiommu'))) {
        if (before.startsWith('noiommu')) continue;
        expect(nodesOf(made(name, made(before)))).toEqual(nodesOf(made(name)));
      }
    }
  });
});
