/** What is left at a device, by the calls that set it up. */
import { expect, test } from 'vitest';
import type { LeaveEvent } from '../../base/events.ts';
import { DeviceLeftovers } from './device-leftovers.ts';

const DEVICE = '0000:00:04.0';
const call = (command: string, args: Readonly<Record<string, unknown>>): LeaveEvent => ({
  ...{ kind: 'leave', what: 'syscall', name: 'ioctl', device: DEVICE, result: 0, refusals: [] },
  ...{ command, args },
});
const irqs = (flags: string, args: object) =>
  call('VFIO_DEVICE_SET_IRQS', {
    ...{ flags: `VFIO_IRQ_SET_DATA_${flags}|VFIO_IRQ_SET_ACTION_TRIGGER`, index: 'MSIX' },
    ...args,
  });
const attach = (flags: string, pasid: number) =>
  call('VFIO_DEVICE_ATTACH_IOMMUFD_PT', { flags, pasid });
const detach = (flags: string, pasid: number) =>
  call('VFIO_DEVICE_DETACH_IOMMUFD_PT', { flags, pasid });

const three = irqs('EVENTFD', { start: 4, count: 3, data: [7, -1, 9] });
const CASES: [string, LeaveEvent[], string[]][] = [
  ['interrupts with an eventfd', [three], ['interrupt 4 of MSIX', 'interrupt 6 of MSIX']],
  [
    'one less: -1 takes the eventfd away',
    [three, irqs('EVENTFD', { start: 4, count: 1, data: [-1] })],
    ['interrupt 6 of MSIX'],
  ],
  ['none: the index is disabled', [three, irqs('NONE', { start: 0, count: 0 })], []],
  [
    'those of another index stay',
    [three, irqs('NONE', { index: 'MSI', start: 0, count: 0 })],
    ['interrupt 4 of MSIX', 'interrupt 6 of MSIX'],
  ],
  [
    'a trigger by the program sets nothing up',
    [irqs('BOOL', { start: 0, count: 1, data: [1] })],
    [],
  ],
  ['a PASID', [attach('VFIO_DEVICE_ATTACH_PASID', 5)], ['PASID 5']],
  [
    'a PASID that is detached',
    [attach('VFIO_DEVICE_ATTACH_PASID', 5), detach('VFIO_DEVICE_DETACH_PASID', 5)],
    [],
  ],
  ['the device itself', [attach('', 0)], []],
];

test.each(CASES)('%s', (_name, calls, left) => {
  const leftovers = new DeviceLeftovers();
  for (const one of calls) leftovers.did(one, undefined);
  expect(leftovers.closed('0000:00:05.0')).toEqual([]);
  expect(leftovers.closed(DEVICE).map(({ what }) => what)).toEqual(left);
  expect(leftovers.closed(DEVICE)).toEqual([]);
});
