/** A device that was pulled out while a program had it open: who did it, whose it was, and what the program sees from then on. */
import type { Machine } from '../../machine/machine.ts';
import { whereText } from '../views/call-text.ts';
import type { TroubleEvent } from './trouble.ts';

/** Processes that have it open. */
export function usersOf(machine: Machine, name: string): readonly number[] {
  return [...machine.vfio.devices()].find(({ dev }) => dev.name === name)?.users ?? [];
}

/** Undefined: it is no such event. */
export function pulledOut(
  event: TroubleEvent,
  { machine }: { readonly machine: Machine },
): readonly string[] | undefined {
  if (event.kind !== 'life') return undefined;
  const call = machine.syscalls.current;
  const whose = call?.pid === undefined ? undefined : `${whereText(call)} of process ${call.pid}`;
  const users = usersOf(machine, event.who.id).join(', ');
  return [
    ...(whose === undefined ? [] : [`it was pulled out by ${whose}`]),
    `process ${users} has it open: from now on its registers read all ones, what is stored there is lost, and it starts no transfer`,
    'a program is told by the eventfds that it gives VFIO_PCI_ERR_IRQ_INDEX and VFIO_PCI_REQ_IRQ_INDEX (VFIO_DEVICE_SET_IRQS), and then closes the device',
  ];
}
