import { describe, expect, test } from 'vitest';
import { EBADF, EEXIST, EINVAL, ENODEV, ENOSPC, type Errno } from '../../src/base/errno.ts';
import { createMachine } from '../../src/machine/create-machine.ts';
import { must } from '../../src/testing/base/must.ts';
import { accesses, PROBE } from '../../src/testing/devices/probe-device.ts';
import { Client, EDU } from '../../src/testing/machine/client.ts';
import * as v from '../../src/uapi/vfio.ts';

const AT = 0x10n;
const REGION = 40n;

function rig() {
  const made = createMachine(
    { devices: [{ type: 'probe', at: EDU }] },
    { deviceTypes: new Map([['probe', PROBE]]) },
  );
  if ('problems' in made) throw new Error(JSON.stringify(made.problems));
  const client = new Client(made.machine);
  const { d } = client.device();
  const fd = client.eventfd();
  const type = v.vfio_device_ioeventfd;
  const set = (given: Record<string, number | bigint> = {}) => {
    const values = { flags: 4, offset: AT, data: 0x1234_5678n, fd, ...given };
    return client.call(d, v.VFIO_DEVICE_IOEVENTFD, type, values).rc;
  };
  /** What a program writes to an eventfd. */
  const signal = () => must(client.program.write(fd, Uint8Array.of(1, 0, 0, 0, 0, 0, 0, 0)));
  const register = () => [...must(client.pread(d, AT, 8))];
  accesses.length = 0;
  return { client, d, fd, set, signal, register };
}
const MINUS_1 = 0xffff_ffff;

describe('an eventfd that writes a register', () => {
  test.for([
    [1, [0x78, 0, 0, 0, 0, 0, 0, 0]],
    [2, [0x78, 0x56, 0, 0, 0, 0, 0, 0]],
    [4, [0x78, 0x56, 0x34, 0x12, 0, 0, 0, 0]],
    [8, [0x78, 0x56, 0x34, 0x12, 0xf0, 0xde, 0xbc, 0x9a]],
  ] as const)('does so at each signal, %i bytes wide', ([flags, bytes]) => {
    const { set, signal, register } = rig();
    expect(set({ flags, data: 0x9abc_def0_1234_5678n })).toBe(0);
    expect(register()).toEqual([0, 0, 0, 0, 0, 0, 0, 0]);
    signal();
    expect(register()).toEqual(bytes);
  });
  test('does nothing while memory decode is off, and nothing after it was taken away', () => {
    const { client, d, set, signal, register } = rig();
    const command = (7n << REGION) + 4n;
    must(set());
    must(client.pwrite(d, command, Uint8Array.of(0, 0)));
    signal();
    must(client.pwrite(d, command, Uint8Array.of(2, 0)));
    expect(register()).toEqual([0, 0, 0, 0, 0, 0, 0, 0]);
    expect([set({ fd: MINUS_1 }), set({ fd: MINUS_1 })]).toEqual([0, ENODEV]);
    signal();
    expect(register()).toEqual([0, 0, 0, 0, 0, 0, 0, 0]);
  });
  test('is gone with the last close of the device', () => {
    const { client, d, set, signal } = rig();
    must(set());
    must(client.program.close(d) ?? 0);
    accesses.length = 0;
    signal();
    expect(accesses).toEqual([]);
  });
  test.for<[string, Record<string, number | bigint>, Errno]>([
    ['of no width', { flags: 0 }, EINVAL],
    ['of two widths', { flags: 5 }, EINVAL],
    ['of an unknown flag', { flags: 0x10 }, EINVAL],
    ['with argsz too small', { argsz: 27 }, EINVAL],
    ['of an fd below -1', { fd: 0xffff_fffe }, EINVAL],
    ['to configuration space', { offset: 7n << REGION }, EINVAL],
    ['to a BAR that is not there', { offset: 5n << REGION }, EINVAL],
    ['across the end of a BAR', { offset: 0x3ffen }, EINVAL],
    ['to the MSI-X table', { offset: (2n << REGION) + 0x7cn }, EINVAL],
    ['that is there already', {}, EEXIST],
    ['of a closed fd', { fd: 99, data: 1n }, EBADF],
  ])('a write %s is refused', ([, given, errno]) => {
    const { set } = rig();
    must(set());
    expect(set(given)).toBe(errno);
  });
  test('another value at the same place is another write', () => {
    const { set } = rig();
    expect([set(), set({ data: 1n }), set({ flags: 2 })]).toEqual([0, 0, 0]);
  });
  test('of a device there are 1000 at most', () => {
    const { set } = rig();
    for (let n = 0; n < 1000; n++) must(set({ data: BigInt(n) }));
    expect(set({ data: 1000n })).toBe(ENOSPC);
  });
});
