/**
 * /sys/kernel/debug/softiommu of a kernel with the trait `debug-hotplug`: the hand that pulls a device out of a running
 * machine, and puts it back. Not of Linux, where that takes a hand.
 */
import type { Status } from '../../base/errno.ts';
import type { Hotplug } from '../kernel/hotplug.ts';
import type { DirNode } from './nodes.ts';
import { dir, writableAttr } from './tree.ts';

/** The files `unplug` and `plug`; what is written to one is an address, such as 0000:00:04.0. */
export function hotPlugDir(hotplug: Hotplug): DirNode {
  const command = (act: (address: string) => Status) =>
    writableAttr(undefined, (text) => act(text.trim()));
  return dir(() => ({
    plug: command((address) => hotplug.putBack(address)),
    unplug: command((address) => hotplug.unplug(address)),
  }));
}
