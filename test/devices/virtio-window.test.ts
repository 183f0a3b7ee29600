/** A virtio device is driven through configuration space alone, as firmware does (virtio 1.2, 4.1.4.9). */
import { expect, test } from 'vitest';
import { Machine } from '../../src/machine/machine.ts';
import { createMachine } from '../../src/machine/create-machine.ts';
import { PCI_COMMAND } from '../../src/uapi/pci-regs.ts';

const BDF = '0000:00:04.0';
const [TYPE, BAR, OFFSET, LENGTH, DATA] = [3, 4, 8, 12, 16];
const PCI_CFG = 5;

function machineWith(type: string): Machine {
  const made = createMachine({ devices: [{ type, at: BDF }] });
  if ('problems' in made) throw new Error(made.problems[0]!.message);
  return made.machine;
}

test.for(['virtio-net', 'virtio-blk'])('%s: features and status through the window', (type) => {
  const { fn } = machineWith(type).hardware.slot(BDF)!;
  let at = fn.readConfig(0x34, 1);
  while (fn.readConfig(at, 1) !== 9 || fn.readConfig(at + TYPE, 1) !== PCI_CFG)
    at = fn.readConfig(at + 1, 1);
  fn.writeConfig(PCI_COMMAND, 2, 2);
  fn.writeConfig(at + BAR, 1, 4);
  const aim = (offset: number, length: number): void => {
    fn.writeConfig(at + OFFSET, 4, offset);
    fn.writeConfig(at + LENGTH, 4, length);
  };
  // V2 of devices.md 5.7: the upper features have VERSION_1 and ACCESS_PLATFORM.
  aim(0, 4);
  fn.writeConfig(at + DATA, 4, 1);
  aim(4, 4);
  expect(fn.readConfig(at + DATA, 4) & 3).toBe(3);
  aim(20, 1);
  fn.writeConfig(at + DATA, 1, 3);
  expect(fn.readConfig(at + DATA, 1)).toBe(3);
  fn.writeConfig(at + DATA, 1, 0);
  expect(fn.readConfig(at + DATA, 1)).toBe(0);
});
