import { describe, expect, test } from 'vitest';
import { EACCES, EEXIST, EFAULT, EINVAL, ENODEV, ENOENT, isErrno } from '../../src/base/errno.ts';
import { WaitQueue } from '../../src/base/wait-queue.ts';
import { plugDevice } from '../../src/machine/create-machine.ts';
import type { Machine } from '../../src/machine/machine.ts';
import { must } from '../../src/testing/base/must.ts';
import { Client, EDU, machineOf, name } from '../../src/testing/machine/client.ts';
import * as v from '../../src/uapi/vfio.ts';

const SYS = '/sys/bus/pci/devices';
const BEHIND = '0000:01:00.0';
const PORT = '0000:00:01.0';
const CONFIG = 7n << 40n;

/** A root port with a PCIe edu behind it. */
function withPort(): Machine {
  const edu = { type: 'edu', at: BEHIND, options: { pcie: true } };
  return machineOf({ devices: [{ type: 'root-port', at: PORT, devices: [edu] }] });
}
function write(client: Client, path: string, text: string) {
  const fd = client.program.open(path, { read: false, write: true });
  if (isErrno(fd)) return fd;
  return client.program.write(fd, new TextEncoder().encode(text));
}
/** The write of 1 to an attribute, by a thread that may sleep: run it until it has an answer. */
function sleepingWrite(machine: Machine, client: Client, path: string) {
  const task = client.program;
  const place = must(machine.vfs.lookup(path, { cred: task }));
  const { node } = place;
  if (node.kind !== 'attr') throw new Error(`${path} is no attribute`);
  return () => node.write!(task, new TextEncoder().encode('1'), 0);
}

describe('remove', () => {
  test('takes the device away with its group, its nodes and its links; rescan brings it back', () => {
    const machine = machineOf();
    const client = new Client(machine);
    const group = client.groupPath();
    expect(write(client, `${SYS}/${EDU}/remove`, '1')).toBe(1);
    expect([client.open(`${SYS}/${EDU}/vendor`), client.open(group)]).toEqual([ENOENT, ENOENT]);
    expect(must(client.program.readdir('/sys/bus/pci/drivers/vfio-pci'))).not.toContain(EDU);
    expect(write(client, '/sys/bus/pci/rescan', '1\n')).toBe(2);
    expect(client.text(`${SYS}/${EDU}/vendor`)).toBe('0x1234\n');
    client.program.exit();
    machine.close();
  });
  test.for([
    ['0', 1],
    ['', 0],
    ['yes', EINVAL],
    ['-1', EINVAL],
  ] as const)('of %j removes nothing', ([text, result]) => {
    const machine = machineOf();
    const client = new Client(machine);
    expect(write(client, `${SYS}/${EDU}/remove`, text)).toBe(result);
    expect(write(client, `${SYS}/${EDU}/rescan`, text)).toBe(result);
    expect(machine.pci.device(EDU)).toBeDefined();
  });
  test('ends the mappings of its registers in sysfs, and the files they came from', () => {
    const machine = machineOf();
    const { program } = new Client(machine);
    const fd = must(program.open(`${SYS}/${EDU}/resource0`));
    const at = must(program.mmap(0x1000, { fd, offset: 0n }));
    expect(program.load(at, 4)).toBe(0x0100_00edn);
    expect(machine.pci.remove(machine.pci.device(EDU)!)).toBeUndefined();
    expect(program.load(at, 4)).toBe(EFAULT);
    expect(program.mmap(0x1000, { fd, offset: 0n })).toBe(ENODEV);
  });
  test('asks the user for the device and sleeps until he has closed it', () => {
    const machine = machineOf();
    const client = new Client(machine);
    const { d, c, g } = client.device();
    const req = client.eventfd();
    must(client.setIrqs(d, { flags: 0x24, index: v.VFIO_PCI_REQ_IRQ_INDEX }, [req]));
    const remove = sleepingWrite(machine, client, `${SYS}/${EDU}/remove`);
    expect(remove()).toBeInstanceOf(WaitQueue);
    expect(client.counter(req)).toBe(1n);
    expect(machine.pci.device(EDU)).toBeDefined();
    for (const fd of [d, g, c]) must(client.program.close(fd) ?? 0);
    expect(remove()).toBe(1);
    expect(machine.pci.device(EDU)).toBeUndefined();
  });
  test('of one bus is found by a scan of that bus, and of no other', () => {
    const machine = withPort();
    const client = new Client(machine);
    must(write(client, `${SYS}/${BEHIND}/remove`, '1'));
    const bus = '/sys/class/pci_bus/0000:01/rescan';
    must(write(client, '/sys/class/pci_bus/0000:00/rescan', '0'));
    expect(machine.pci.device(BEHIND)).toBeUndefined();
    must(write(client, bus, '1'));
    expect(machine.pci.device(BEHIND)).toBeDefined();
  });
});

describe('a device that is pulled out', () => {
  function inUse() {
    const machine = withPort();
    const client = new Client(machine);
    const { d } = client.device(v.VFIO_TYPE1v2_IOMMU, BEHIND);
    const [err, req] = [client.eventfd(), client.eventfd()];
    must(client.setIrqs(d, { flags: 0x24, index: v.VFIO_PCI_ERR_IRQ_INDEX }, [err]));
    must(client.setIrqs(d, { flags: 0x24, index: v.VFIO_PCI_REQ_IRQ_INDEX }, [req]));
    must(client.pwrite(d, CONFIG + 4n, Uint8Array.of(6, 0)));
    const bar = must(client.program.mmap(0x1000, { fd: d, offset: 0n }));
    return { machine, client, d, err, req, bar };
  }
  test('tells its user, and is forgotten when he has closed it', () => {
    const { machine, client, err, req } = inUse();
    expect(machine.hotplug.unplug(BEHIND)).toBeUndefined();
    expect([client.counter(err), client.counter(req)]).toEqual([1n, 1n]);
    must(machine.advanceTo(machine.env.clock.nowNs + 10e9) ?? 0);
    expect(client.counter(req)).toBe(1n);
    expect(machine.pci.device(BEHIND)).toBeDefined();
    client.program.exit();
    must(machine.advanceTo(machine.env.clock.nowNs) ?? 0);
    expect(machine.pci.device(BEHIND)).toBeUndefined();
    machine.close();
  });
  test('reads all ones, by system calls and where its registers are mapped, and what is stored is lost', () => {
    const { machine, client, d, bar } = inUse();
    const { program } = client;
    expect(program.load(bar, 4)).toBe(0x0100_00edn);
    expect(machine.hotplug.unplug(BEHIND)).toBeUndefined();
    expect(program.load(bar, 4)).toBe(0xffff_ffffn);
    expect(program.store(bar, 4, 1n)).toBeUndefined();
    expect([...must(client.pread(d, 0n, 4))]).toEqual([255, 255, 255, 255]);
    expect([...must(client.pread(d, CONFIG + 6n, 2))]).toEqual([255, 255]);
    expect(name(client.pwrite(d, 0n, Uint8Array.of(1, 0, 0, 0)))).toBe(4);
    client.program.exit();
  });
  test('starts no transfer any more', () => {
    const { machine, client } = inUse();
    const { slot } = machine.pci.device(BEHIND)!;
    must(machine.hotplug.unplug(BEHIND) ?? 0);
    expect(slot.dma.write(0n, Uint8Array.of(1))).toBe(EFAULT);
    client.program.exit();
  });
  test('may be followed by another one in its place', () => {
    const { machine, client } = inUse();
    const before = machine.pci.device(BEHIND)!;
    const { address } = before.fn.bars[0]!;
    must(machine.hotplug.unplug(BEHIND) ?? 0);
    const made = plugDevice(machine, { type: 'edu', at: BEHIND, options: { pcie: true } });
    expect(made).toHaveProperty('slot');
    expect(machine.pci.device(BEHIND)).toBe(before);
    client.program.exit();
    must(machine.advanceTo(machine.env.clock.nowNs) ?? 0);
    const after = machine.pci.device(BEHIND)!;
    expect([after === before, after.driver?.name, after.fn.bars[0]!.address]).toEqual([
      false,
      'vfio-pci',
      address,
    ]);
    machine.close();
  });
});

describe('the hand in debugfs', () => {
  const HAND = '/sys/kernel/debug/softiommu';
  const edu = { type: 'edu', at: BEHIND, options: { pcie: true } };
  const devices = [{ type: 'root-port', at: PORT, devices: [edu] }];
  function withHand() {
    const machine = machineOf({ devices, kernel: { with: ['debug-hotplug'] } });
    const client = new Client(machine);
    const pass = () => must(machine.advanceTo(machine.env.clock.nowNs + 1) ?? 0);
    const hand = (file: string, address: string) => {
      const result = write(client, `${HAND}/${file}`, address);
      pass();
      return result;
    };
    return { machine, client, hand };
  }
  test('pulls a device out and puts it back, the same and for the same driver', () => {
    const { machine, client, hand } = withHand();
    const before = machine.pci.device(BEHIND);
    expect(hand('unplug', `${BEHIND}\n`)).toBe(BEHIND.length + 1);
    expect(machine.pci.device(BEHIND)).toBeUndefined();
    expect(hand('plug', BEHIND)).toBe(BEHIND.length);
    const after = machine.pci.device(BEHIND)!;
    expect([after === before, after.driver?.name]).toEqual([false, 'vfio-pci']);
    const { d } = client.device(v.VFIO_TYPE1v2_IOMMU, BEHIND);
    must(client.pwrite(d, CONFIG + 4n, Uint8Array.of(6, 0)));
    expect([...must(client.pread(d, 0n, 4))]).toEqual([0xed, 0, 0, 1]);
    expect(hand('unplug', BEHIND)).toBe(BEHIND.length);
    expect([...must(client.pread(d, 0n, 4))]).toEqual([255, 255, 255, 255]);
    client.program.exit();
    machine.close();
  });
  test('takes a bridge with what is behind it', () => {
    const { machine, hand } = withHand();
    expect([hand('unplug', PORT), machine.pci.devices()]).toEqual([PORT.length, []]);
    expect(hand('plug', PORT)).toBe(PORT.length);
    expect(machine.pci.devices().map(({ name: at }) => at)).toEqual([PORT, BEHIND]);
    machine.close();
  });
  test('says what it cannot do', () => {
    const { machine, hand } = withHand();
    expect([hand('unplug', '0000:00:1f.0'), hand('plug', BEHIND)]).toEqual([ENODEV, ENODEV]);
    must(machine.hotplug.unplug(BEHIND) ?? 0);
    must(machine.hotplug.unplug(PORT) ?? 0);
    expect(hand('plug', BEHIND)).toBe(ENODEV);
    expect(plugDevice(machine, { type: 'edu', at: PORT })).toHaveProperty('slot');
    expect(hand('plug', PORT)).toBe(ENODEV);
    machine.close();
  });
  test('puts nothing where a virtual function stands, and twice nothing', () => {
    const [pf, at] = ['0000:00:04.0', '0000:00:14.0'];
    const generic = { type: 'generic', at: pf, driver: 'igb', options: { vfs: 1 } };
    const machine = machineOf({ devices: [generic, { type: 'edu', at }] });
    must(machine.hotplug.unplug(at) ?? 0);
    must(machine.advanceTo(1) ?? 0);
    const numvfs = `${SYS}/${pf}/sriov_numvfs`;
    const client = new Client(machine);
    must(write(client, numvfs, '1'));
    expect(machine.hotplug.putBack(at)).toBe(EEXIST);
    must(write(client, numvfs, '0'));
    expect([machine.hotplug.putBack(at), machine.hotplug.putBack(at)]).toEqual([undefined, ENODEV]);
    machine.close();
  });
  test('is there in a kernel that was built for it, and for root', () => {
    const client = new Client(machineOf());
    expect(write(client, `${HAND}/unplug`, BEHIND)).toBe(ENOENT);
    const { machine } = withHand();
    const user = machine.program({ uid: 1000, gid: 1000 });
    expect(user.open(`${HAND}/unplug`, { read: false, write: true })).toBe(EACCES);
  });
});

describe('putting in', () => {
  test('a device that nobody knew: it is there as from the start', () => {
    const machine = machineOf();
    const made = plugDevice(machine, { type: 'generic', at: '0000:00:0a.0', driver: 'none' });
    expect(made).toHaveProperty('slot');
    const client = new Client(machine);
    expect(client.text(`${SYS}/0000:00:0a.0/vendor`)).toBe('0x1b36\n');
    const { window } = machine.pci.device('0000:00:0a.0')!.fn.bars[0]!;
    expect(machine.memory.describe(window.pfn)).toBe('0000:00:0a.0 BAR 0');
    client.program.exit();
    machine.close();
  });
  test('a bridge with what is behind it, after it was pulled out', () => {
    const machine = withPort();
    must(machine.hotplug.unplug(PORT) ?? 0);
    expect(machine.pci.devices()).toEqual([]);
    const edu = machine.description.devices[0]!.devices[0]!;
    const made = plugDevice(machine, { type: 'root-port', at: PORT, devices: [edu] });
    expect(made).toHaveProperty('slot');
    const { place } = machine.pci.device(BEHIND)!.slot;
    expect(place.bus.bridge?.name).toBe(PORT);
    machine.close();
  });
  test.for<[string, { type: string; at: string }, string]>([
    ['at a place that is taken', { type: 'edu', at: EDU }, `two functions are at ${EDU}`],
    ['of no known type', { type: 'toaster', at: '0000:00:0a.0' }, 'unknown device type'],
  ])('%s is refused with the reason', ([, input, reason]) => {
    const made = plugDevice(machineOf(), input);
    expect('problems' in made && made.problems[0]?.message).toContain(reason);
  });
  test('where a virtual function stands is refused', () => {
    const pf = { type: 'generic', at: '0000:00:04.0', driver: 'igb', options: { vfs: 1 } };
    const machine = machineOf({ devices: [pf] });
    const client = new Client(machine);
    must(write(client, `${SYS}/0000:00:04.0/sriov_numvfs`, '1'));
    const made = plugDevice(machine, { type: 'edu', at: '0000:00:14.0' });
    expect(made).toEqual({
      problems: [{ path: ['at'], message: 'a virtual function is at 0000:00:14.0' }],
    });
    expect(machine.hotplug.unplug('0000:00:14.0')).toBe(EINVAL);
  });
});

test('what is not plugged in cannot be pulled out', () => {
  expect(name(machineOf().hotplug.unplug('0000:00:1f.0') ?? 0)).toBe('ENODEV');
});
