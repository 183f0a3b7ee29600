import { describe, expect, test } from 'vitest';
import { EACCES, EBUSY, EINVAL, ENOTTY, isErrno } from '../../src/base/errno.ts';
import { must } from '../../src/testing/base/must.ts';
import { Client, machineOf } from '../../src/testing/machine/client.ts';
import { WaitQueue } from '../../src/base/wait-queue.ts';
import * as v from '../../src/uapi/vfio.ts';

const PF = '0000:00:04.0';
const VF = '0000:00:14.0';
const OTHER = '0000:00:05.0';
const TOKEN = '14d63f20-8445-11ea-8900-1f9ce7d5650d';
const WRONG = '14d63f20-8445-11ea-8900-000000000000';

/** A physical function with one virtual one, both in the hands of vfio-pci, and another function. */
function shared() {
  const devices = [
    { type: 'generic', at: PF, options: { vfs: 2 } },
    { type: 'generic', at: OTHER },
  ];
  const client = new Client(machineOf({ devices }));
  const { machine } = client;
  const write = (path: string, text: string) => {
    const fd = must(client.program.open(path, { read: false, write: true }));
    const rc = client.program.write(fd, new TextEncoder().encode(text));
    must(client.program.close(fd) ?? 0);
    return rc;
  };
  must(write('/sys/module/vfio_pci/parameters/enable_sriov', 'Y'));
  must(write(`/sys/bus/pci/devices/${PF}/sriov_numvfs`, '1'));
  const { c, g } = client.container(v.VFIO_TYPE1v2_IOMMU, PF);
  const vfGroup = client.group(VF);
  must(client.setContainer(vfGroup, c));
  const open = (at: string, token?: string) =>
    client.deviceFd(at === VF ? vfGroup : g, token === undefined ? at : `${at} vf_token=${token}`);
  const setToken = (fd: number, uuid: string) => {
    const bytes = Uint8Array.from(uuid.replaceAll('-', '').match(/../g)!, (two) =>
      parseInt(two, 16),
    );
    const flags = v.VFIO_DEVICE_FEATURE_SET | v.VFIO_DEVICE_FEATURE_PCI_VF_TOKEN;
    return client.call(fd, v.VFIO_DEVICE_FEATURE, v.vfio_device_feature, { flags }, bytes).rc;
  };
  return { client, machine, open, setToken, c };
}

describe('the token of a physical function', () => {
  test('is wanted of whoever opens a virtual one', () => {
    const { open } = shared();
    expect([open(VF), open(VF, WRONG)]).toEqual([EACCES, EACCES]);
  });
  test('is what its user gives first, until a virtual one is open', () => {
    const { client, open } = shared();
    const pf = must(open(PF, TOKEN));
    expect(open(VF, WRONG)).toBe(EACCES);
    const vf = must(open(VF, TOKEN.toUpperCase()));
    expect([open(PF), open(PF, WRONG)]).toEqual([EACCES, EACCES]);
    must(client.program.close(must(open(PF, TOKEN))) ?? 0);
    for (const fd of [vf, pf]) must(client.program.close(fd) ?? 0);
    must(client.program.close(must(open(PF, WRONG))) ?? 0);
    expect(open(VF, TOKEN)).toBe(EACCES);
    expect(isErrno(open(VF, WRONG))).toBe(false);
  });
  test('can be set at any time by the one who has it open', () => {
    const { open, setToken } = shared();
    const pf = must(open(PF));
    expect(setToken(pf, TOKEN)).toBe(0);
    const vf = must(open(VF, TOKEN));
    expect(setToken(vf, TOKEN)).toBe(ENOTTY);
    expect(setToken(pf, WRONG)).toBe(0);
    expect([open(VF, TOKEN), isErrno(open(VF, WRONG))]).toEqual([EACCES, false]);
  });
  test('is none of a function that has no virtual ones', () => {
    const { client, c } = shared();
    const group = client.group(OTHER);
    must(client.setContainer(group, c));
    expect(client.deviceFd(group, `${OTHER} vf_token=${TOKEN}`)).toBe(EINVAL);
  });
});

test('a virtual function of another driver takes no token', () => {
  const devices = [{ type: 'generic', at: PF, driver: 'igb', options: { vfs: 2 } }];
  const client = new Client(machineOf({ devices }));
  const numVfs = must(client.program.open(`/sys/bus/pci/devices/${PF}/sriov_numvfs`));
  must(client.program.write(numVfs, new TextEncoder().encode('1')));
  client.machine.pci.device(VF)!.driverOverride = 'vfio-pci';
  client.machine.drivers.attach(client.machine.pci.device(VF)!);
  const { g } = client.container(v.VFIO_TYPE1v2_IOMMU, VF);
  expect(client.deviceFd(g, `${VF} vf_token=${TOKEN}`)).toBe(EINVAL);
  expect(isErrno(client.deviceFd(g, VF))).toBe(false);
});

describe('a virtual function in the hands of a user', () => {
  test('has the ids and BARs of its capability, no pin, and answers without a decode bit', () => {
    const { client, open } = shared();
    must(open(PF, TOKEN));
    const vf = must(open(VF, TOKEN));
    const config = 7n << 40n;
    expect([...must(client.pread(vf, config, 4))]).toEqual([0x36, 0x1b, 0x06, 0x00]);
    expect([...must(client.pread(vf, config + 4n, 2))]).toEqual([2, 0]);
    expect([...must(client.pread(vf, config + 0x3dn, 1))]).toEqual([0]);
    must(client.pwrite(vf, config + 0x10n, Uint8Array.of(255, 255, 255, 255)));
    expect([...must(client.pread(vf, config + 0x10n, 4))]).toEqual([4, 0xc0, 255, 255]);
    must(client.pwrite(vf, 0n, Uint8Array.of(1, 2, 3, 4)));
    expect([...must(client.pread(vf, 0n, 4))]).toEqual([1, 2, 3, 4]);
  });
  test('is waited for when the physical one shall have none', () => {
    const { client, machine, open } = shared();
    must(open(PF, TOKEN));
    const vf = must(open(VF, TOKEN));
    const pci = machine.pci.device(PF)!;
    const driver = machine.drivers.drivers.get('vfio-pci')!;
    expect(driver.hooks.sriovConfigure!(pci, 0)).toBeInstanceOf(WaitQueue);
    must(client.program.close(vf) ?? 0);
    expect(driver.hooks.sriovConfigure!(pci, 0)).toBeUndefined();
    expect([machine.pci.device(VF), pci.fn.virtualFunctions]).toEqual([undefined, 0]);
  });
  test('survives that the physical one is closed and opened', () => {
    const { client, machine, open } = shared();
    must(client.program.close(must(open(PF, TOKEN))) ?? 0);
    expect(machine.pci.device(VF)!.fn.present).toBe(true);
    expect(isErrno(open(VF, TOKEN))).toBe(false);
  });
});

test('a physical function that shows virtual ones is not taken by vfio-pci', () => {
  const devices = [{ type: 'generic', at: PF, driver: 'none', options: { vfs: 2 } }];
  const { drivers, pci } = machineOf({ devices });
  const pf = pci.device(PF)!;
  pf.sriov!.numVfs = 1;
  pf.driverOverride = 'vfio-pci';
  expect(drivers.bind(drivers.drivers.get('vfio-pci')!, pf)).toBe(EBUSY);
});
