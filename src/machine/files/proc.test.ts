import { expect, test } from 'vitest';
import { Bug } from '../../base/bug.ts';
import { must } from '../../testing/base/must.ts';
import { createMachine } from '../create-machine.ts';

function read(path: string, host = '', version = '7.3'): string {
  const devices = [{ type: 'edu', at: '0000:00:04.0' }];
  const made = createMachine({ kernel: { version }, devices }, { hostText: () => host });
  if ('problems' in made) throw new Bug('the description is no machine');
  const text = Buffer.alloc(4096);
  const program = made.machine.program();
  return text.toString('utf8', 0, must(program.read(must(program.open(path)), text)));
}

test('/proc/modules has what is loaded, with its users, and the host has the rest', () => {
  const host = 'vfio 1 0 - Live 0xffff\nloop 40960 2 - Live 0xffff\n';
  const lines = read('/proc/modules', host).trimEnd().split('\n');
  expect(lines).toContain('vfio 69632 2 vfio_iommu_type1,vfio_pci_core, Live 0x0000000000000000');
  expect(lines).toContain('vfio_pci 16384 0 - Live 0x0000000000000000');
  expect(lines.at(-1)).toBe('loop 40960 2 - Live 0xffff');
  expect(lines.filter((line) => line.startsWith('vfio '))).toHaveLength(1);
});
test('a kernel without iommufd has no module of it', () => {
  expect(read('/proc/modules', '', '5.15')).not.toContain('iommufd');
});
test('/proc/misc has the nodes of major 10, and those of the host with other names and numbers', () => {
  const host = '259 iommu\n196 other\n232 kvm\n';
  expect(read('/proc/misc', host)).toBe('126 iommu\n196 vfio\n232 kvm\n');
});
test('/proc/devices has the majors of VFIO in their place', () => {
  const host = 'Character devices:\n  1 mem\n243 other\n254 ndctl\n\nBlock devices:\n  7 loop\n';
  const characters = 'Character devices:\n  1 mem\n243 vfio\n254 ndctl\n511 vfio-dev\n';
  expect(read('/proc/devices', host)).toBe(`${characters}\nBlock devices:\n  7 loop\n`);
  expect(read('/proc/devices')).toBe(
    'Character devices:\n243 vfio\n511 vfio-dev\n\nBlock devices:\n',
  );
});
test('/proc/bus/pci/devices has one line for each function of the machine, and none of the host', () => {
  const text = read('/proc/bus/pci/devices', '0000\t80860000\t0\n');
  const [place, ids, irq, ...rest] = text.trimEnd().split('\t');
  expect([place, ids, irq]).toEqual(['0020', '123411e8', 'a']);
  expect(rest.map((word) => word.trim())).toEqual([
    ...['e0000000', '0', '0', '0', '0', '0', '0'],
    ...['100000', '0', '0', '0', '0', '0', '0'],
    'vfio-pci',
  ]);
});
