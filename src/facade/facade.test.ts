import { describe, expect, test } from 'vitest';
import { VFIO_GROUP_GET_STATUS } from '../uapi/index.ts';
import type { MachineInput } from '../machine/description/description.ts';
import { SoftIommuError } from './error.ts';
import { Machine } from './machine.ts';

const EDU = '0000:00:04.0';

/** One device with 16-bit PASIDs. */
const PASIDS: MachineInput = {
  devices: [{ type: 'generic', at: EDU, options: { pcie: true, pasid_bits: 16 } }],
};

function caught(run: () => unknown): SoftIommuError {
  try {
    run();
  } catch (error) {
    if (error instanceof SoftIommuError) return error;
    throw error;
  }
  throw new Error('nothing was thrown');
}

describe('a device of the library', () => {
  test('a device of the library writes memory through the domain it is attached to', () => {
    const machine = new Machine();
    const device = machine.device(EDU);
    const domain = device.allocDomain();
    const memory = device.allocMemory(4096);
    device.claim();
    device.attach(domain);
    domain.map(0x1_0000n, memory);
    device.busMaster = true;
    device.dmaWrite(0x1_0004n, Uint8Array.of(1, 2, 3));
    expect([...memory.bytes.subarray(4, 7)]).toEqual([1, 2, 3]);
    expect([...device.dmaRead(0x1_0004n, 3)]).toEqual([1, 2, 3]);
    expect(domain.iovaToPhys(0x1_0004n)).toBe(memory.pa + 4n);
    expect(domain.unmap(0x1_0000n, 4096n)).toBe(4096n);
    expect(caught(() => device.dmaRead(0x1_0004n, 3))).toMatchObject({ code: 'EFAULT' });
    device.detach(domain);
    device.release();
    domain.free();
    memory.free();
    machine.close();
  });
  test('a device of the library serves a PASID beside its own domain', () => {
    const machine = new Machine(PASIDS);
    const device = machine.device(EDU);
    const domain = device.allocDomain();
    const memory = device.allocMemory(4096);
    device.attach(domain, { pasid: 9 });
    domain.map(0x2000n, memory);
    device.busMaster = true;
    device.dmaWrite(0x2000n, Uint8Array.of(7), 9);
    expect(memory.bytes[0]).toBe(7);
    expect(caught(() => device.dmaWrite(0x2000n, Uint8Array.of(7))).code).toBe('EFAULT');
    expect(caught(() => device.attach(domain, { pasid: 9 }))).toMatchObject({
      code: 'EBUSY',
      errno: -16,
      syscall: 'attach',
    });
    device.detach(domain, { pasid: 9 });
    domain.free();
    memory.free();
    machine.close();
  });
  test('a device that is not there is ENODEV with its address', () => {
    const machine = new Machine();
    expect(caught(() => machine.device('0000:00:1e.0'))).toMatchObject({
      code: 'ENODEV',
      reason: 'there is no device at this address',
      facts: { address: '0000:00:1e.0' },
    });
  });
  test('a device without an IOMMU has no domain and no group to attach', () => {
    const machine = new Machine('preset:noiommu');
    const device = machine.device(EDU);
    expect(caught(() => device.allocDomain())).toMatchObject({ code: 'ENODEV' });
    const foreign = new Machine().device(EDU).allocDomain();
    expect(caught(() => device.attach(foreign)).code).toBe('EINVAL');
  });
});

test('what was not given back is named when the machine is closed, and can still be given back', () => {
  const machine = new Machine();
  const device = machine.device(EDU);
  const domain = device.allocDomain();
  device.claim();
  expect(caught(() => machine.close())).toMatchObject({
    code: 'EBUSY',
    syscall: 'close',
    reason: 'what the machine gave was not given back',
    facts: { left: `a domain of ${EDU} (free() it), the claim of ${EDU} (release() it)` },
  });
  device.release();
  domain.free();
  machine.close();
});

test('what is mapped for reading alone cannot be written, and is explained so', () => {
  const machine = new Machine(PASIDS);
  const device = machine.device(EDU);
  const domain = device.allocDomain();
  const memory = device.allocMemory(4096);
  device.attach(domain, { pasid: 9 });
  domain.map(0x2000n, memory, { write: false });
  device.busMaster = true;
  memory.bytes.set([5, 6]);
  expect([...device.dmaRead(0x2000n, 2, 9)]).toEqual([5, 6]);
  expect(caught(() => device.dmaWrite(0x2000n, Uint8Array.of(7), 9)).code).toBe('EFAULT');
  expect(machine.explain(EDU, 0x2001n, { pasid: 9 })).toMatchObject({ pa: memory.pa + 1n });
  expect(machine.explain(EDU, 0x2001n, { pasid: 9, write: true }).refused).toBeDefined();
  expect(machine.explain(EDU, 0x2001n).refused).toBeDefined();
});

describe('a program of the library', () => {
  test('a program of the library is told why a call was refused', () => {
    const program = new Machine().program();
    const group = program.open('/dev/vfio/0');
    const error = caught(() => program.ioctl(group, VFIO_GROUP_GET_STATUS, new Uint8Array(8)));
    expect(error).toMatchObject({
      code: 'EINVAL',
      errno: -22,
      syscall: 'ioctl VFIO_GROUP_GET_STATUS',
      reason: 'argsz is smaller than the struct',
      facts: { argsz: 0, min: 8 },
      message: 'EINVAL: argsz is smaller than the struct, ioctl VFIO_GROUP_GET_STATUS',
    });
    expect(caught(() => program.open('/dev/vfio/9'))).toMatchObject({ code: 'ENOENT' });
  });
  test('an unbind of a device that is held says who holds it, and works when he has let go', () => {
    const machine = new Machine();
    const [holder, other] = [machine.program(), machine.program()];
    const fd = holder.open('/dev/vfio/devices/vfio0');
    const unbind = () => other.writeText('/sys/bus/pci/drivers/vfio-pci/unbind', EDU);
    const says: unknown = expect.stringContaining('its driver lets it go when its last file');
    expect(caught(unbind)).toMatchObject({
      ...{ code: 'EDEADLK', reason: 'the call would wait for ever' },
      facts: { device: EDU, openedBy: String(holder.pid), waitsFor: says },
    });
    expect(other.readdir('/sys/bus/pci/drivers/vfio-pci')).toContain(EDU);
    holder.close(fd);
    unbind();
    expect(other.readdir('/sys/bus/pci/drivers/vfio-pci')).not.toContain(EDU);
  });
  test('an unbind waits for a timer that lets the device go', () => {
    const machine = new Machine();
    const [holder, other] = [machine.program(), machine.program()];
    const fd = holder.open('/dev/vfio/devices/vfio0');
    machine.kernel.env.clock.after(25e9, () => holder.close(fd));
    other.writeText('/sys/bus/pci/drivers/vfio-pci/unbind', EDU);
    expect(machine.kernel.env.clock.nowNs).toBe(25e9);
  });
  test('a program of the library writes small files, and shares memory of a file between mappings', () => {
    const program = new Machine().program();
    const driver = '/sys/bus/pci/drivers/vfio-pci';
    program.writeText(`${driver}/unbind`, EDU);
    expect(program.readdir(driver)).not.toContain(EDU);
    program.writeText(`${driver}/bind`, EDU);
    expect(program.readdir(driver)).toContain(EDU);
    expect(caught(() => program.writeText(`${driver}/bind`, EDU)).code).toBe('EBUSY');
    const file = program.memfd(0x2000);
    const [one, two] = [
      program.mmapShared(file, 0x2000),
      program.mmapShared(file, 0x1000, 0x1000n),
    ];
    one.bytes.set([1, 2, 3], 0x1000);
    expect([...two.bytes.subarray(0, 3)]).toEqual([1, 2, 3]);
    const huge = program.mmapShared(program.memfd(0x20_0000, true), 0x20_0000);
    expect(huge.address % 0x20_0000n).toBe(0n);
    const place = 0x7000_0000n;
    expect(program.alloc(0x1000, { address: place }).address).toBe(place);
    expect(caught(() => program.alloc(0x1000, { address: 1n })).code).toBe('EINVAL');
  });
});

test('a preset that is not there is a mistake of the description', () => {
  for (const name of ['nope', 'toString']) {
    const message = new RegExp(`^no preset:${name}; presets: default,`);
    expect(() => new Machine(`preset:${name}`)).toThrow(message);
  }
});

describe('testAttach', () => {
  test('testAttach predicts the errno and the reason, for every member', () => {
    const machine = new Machine('preset:two-iommus');
    const wide = machine.device(EDU).allocDomain();
    const narrow = machine.device('0000:00:05.0');
    const before = machine.kernel.stateDigest();
    const [answer] = narrow.testAttach(wide);
    expect(answer).toMatchObject({ device: '0000:00:05.0', code: 'EINVAL', stage: 'driver' });
    expect(machine.kernel.stateDigest()).toBe(before);
    narrow.claim();
    const error = caught(() => narrow.attach(wide));
    expect(error).toMatchObject({ code: answer!.code, reason: answer!.reason });
  });
  test('testAttach asks for what attach() does: the whole group', () => {
    const device = new Machine('preset:multifunction').device('0000:01:00.0');
    const domain = device.allocDomain();
    device.claim();
    expect(device.testAttach(domain)).toEqual([
      { device: '0000:01:00.0', code: undefined, stage: 'ok', reason: '' },
      { device: '0000:01:00.1', code: undefined, stage: 'ok', reason: '' },
    ]);
    device.attach(domain);
    const codes = device.testAttach(device.allocDomain()).map(({ code }) => code);
    expect(codes).toEqual(['EBUSY', 'EBUSY']);
  });
  test('testAttach tells busy from unfit', () => {
    const device = new Machine(PASIDS).device(EDU);
    const [one, two] = [device.allocDomain(), device.allocDomain()];
    device.claim();
    device.attach(one);
    expect(device.testAttach(two)[0]).toMatchObject({ code: 'EBUSY', stage: 'busy' });
    expect(device.testAttach(two, { whatIf: true })[0]).toMatchObject({ stage: 'ok' });
    expect(device.testAttach(two, { mode: 'replace' })[0]).toMatchObject({ stage: 'ok' });
    expect(device.testAttach(two, { pasid: 70_000 })[0]).toMatchObject({ stage: 'pasid-range' });
  });
});
