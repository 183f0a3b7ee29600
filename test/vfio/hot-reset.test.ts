/** Hot reset of a bus with two functions (vfio.md 2.8). */
import { expect, test } from 'vitest';
import { EBADF, EINVAL, ENOSPC } from '../../src/base/errno.ts';
import * as v from '../../src/uapi/vfio.ts';
import { Client, machineOf } from '../../src/testing/machine/client.ts';
import { must } from '../../src/testing/base/must.ts';

const [ONE, TWO] = ['0000:01:00.0', '0000:01:00.1'] as const;
const HOT_RESET = v.VFIO_DEVICE_PCI_HOT_RESET;

function rig(preset = 'multifunction') {
  const client = new Client(machineOf(preset));
  const { g } = client.container(3, ONE);
  const d = must(client.deviceFd(g, ONE));
  return { client, g, d };
}
const fds = (...list: number[]) => new Uint8Array(Int32Array.from(list).buffer);

test('INFO says how many functions there are, and lists them with their groups', () => {
  const { client, d } = rig();
  const type = v.vfio_pci_hot_reset_info;
  const short = client.call(d, v.VFIO_DEVICE_GET_PCI_HOT_RESET_INFO, type);
  expect([short.rc, short.out.count, short.out.flags]).toEqual([ENOSPC, 2, 0]);
  const { rc, all } = client.call(d, v.VFIO_DEVICE_GET_PCI_HOT_RESET_INFO, type, { argsz: 28 });
  expect(rc).toBe(0);
  const entry = (n: number) => v.vfio_pci_dependent_device.view(all.subarray(12 + 8 * n));
  expect([entry(0).bus, entry(0).devfn, entry(1).bus, entry(1).devfn]).toEqual([1, 0, 1, 1]);
  expect(entry(0).id).toBe(entry(1).id);
});

test('HOT_RESET wants the groups of all functions, and resets them', () => {
  const { client, g, d } = rig();
  const call = (values: Record<string, number>, tail = fds()) =>
    client.call(d, HOT_RESET, v.vfio_pci_hot_reset, values, tail).rc;
  expect(call({ count: 0 })).toBe(EINVAL);
  expect(call({ count: 3 }, fds(g, g, g))).toBe(EINVAL);
  expect(call({ count: 1 }, fds(99))).toBe(EBADF);
  expect(call({ count: 1 }, fds(d))).toBe(EINVAL);
  const other = must(client.deviceFd(g, TWO));
  must(client.pwrite(other, 0n + 4n, Uint8Array.of(1, 2, 3, 4)));
  const liveness = () => [...must(client.pread(other, 0n + 4n, 4))];
  const before = liveness();
  expect(call({ count: 1 }, fds(g))).toBe(0);
  expect(liveness()).not.toEqual(before);
});

test('a function of the bus that another driver holds forbids a hot reset', () => {
  const client = new Client(machineOf('pcie-to-pci-bridge'));
  const { g } = client.container(3, '0000:02:04.0');
  const d = must(client.deviceFd(g, '0000:02:04.0'));
  const [second] = [...client.machine.vfio.devices()].filter((x) => x.dev.name === '0000:02:05.0');
  expect(client.machine.vfio.unregisterDevice(second!.dev)).toBeUndefined();
  const rc = client.call(d, HOT_RESET, v.vfio_pci_hot_reset, { count: 1 }, fds(g)).rc;
  expect(rc).toBe(EINVAL);
});
