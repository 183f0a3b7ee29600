/** Files of a function that follow what its user and its driver do (vfio.md 4.1), and BARs that are not mapped (2.4). */
import { describe, expect, test } from 'vitest';
import { EINVAL, isErrno } from '../../src/base/errno.ts';
import type { BarWish } from '../../src/machine/description/bar-wishes.ts';
import { createMachine } from '../../src/machine/create-machine.ts';
import { must } from '../../src/testing/base/must.ts';
import { PROBE } from '../../src/testing/devices/probe-device.ts';
import { Client, EDU } from '../../src/testing/machine/client.ts';
import * as v from '../../src/uapi/vfio.ts';

const HERE = `/sys/bus/pci/devices/${EDU}`;
const EVENTFD = v.VFIO_IRQ_SET_DATA_EVENTFD | v.VFIO_IRQ_SET_ACTION_TRIGGER;
const NONE = v.VFIO_IRQ_SET_DATA_NONE | v.VFIO_IRQ_SET_ACTION_TRIGGER;

function rig(device: { type?: string; bar?: BarWish; options?: Record<string, boolean> } = {}) {
  const made = createMachine(
    { devices: [{ type: 'probe', at: EDU, ...device }] },
    { deviceTypes: new Map([['probe', PROBE]]) },
  );
  if ('problems' in made) throw new Error(JSON.stringify(made.problems));
  const client = new Client(made.machine);
  const echo = (name: string, text: string) => {
    const fd = must(client.program.open(`${HERE}/${name}`, { read: false, write: true }));
    return client.program.write(fd, new TextEncoder().encode(text));
  };
  return { client, machine: made.machine, echo };
}

describe('msi_irqs and irq', () => {
  test('there is a file for each vector while messages are on', () => {
    const { client } = rig();
    const { d } = client.device();
    const names = () => {
      const found = client.program.readdir(`${HERE}/msi_irqs`);
      return isErrno(found) ? found.name : found;
    };
    expect(names()).toBe('ENOENT');
    must(client.setIrqs(d, { flags: EVENTFD, index: v.VFIO_PCI_MSIX_IRQ_INDEX }, [-1, -1]));
    expect(names()).toEqual(['24', '25']);
    expect(client.text(`${HERE}/msi_irqs/25`)).toBe('msix\n');
    const set = { flags: EVENTFD, index: v.VFIO_PCI_MSIX_IRQ_INDEX, start: 3 };
    must(client.setIrqs(d, set, [client.eventfd()]));
    expect(names()).toEqual(['24', '25', '26', '27']);
    must(client.setIrqs(d, { flags: NONE, index: v.VFIO_PCI_MSIX_IRQ_INDEX, count: 0 }));
    expect(names()).toBe('ENOENT');
  });
  test('irq is the line of the pin, and the first vector while MSI is on', () => {
    const { client } = rig();
    const { d } = client.device();
    expect(client.text(`${HERE}/irq`)).toBe('10\n');
    must(client.setIrqs(d, { flags: EVENTFD, index: v.VFIO_PCI_MSI_IRQ_INDEX }, [-1]));
    expect(client.text(`${HERE}/irq`)).toBe('24\n');
  });
});

describe('files that hold what is written', () => {
  test.for(['d3cold_allowed', 'broken_parity_status', 'msi_bus'])('%s', (name) => {
    const { client, echo } = rig();
    for (const text of ['1\n', '0\n', '1\n']) {
      expect(echo(name, text)).toBe(2);
      expect(client.text(`${HERE}/${name}`)).toBe(text);
    }
    expect(echo(name, 'yes')).toBe(EINVAL);
  });
  test('power/control is auto or on', () => {
    const { client, echo } = rig();
    expect(client.text(`${HERE}/power/control`)).toBe('on\n');
    expect(echo('power/control', 'auto\n')).toBe(5);
    expect(client.text(`${HERE}/power/control`)).toBe('auto\n');
    expect(echo('power/control', 'off')).toBe(EINVAL);
  });
});

test('power/runtime_status is suspended in the low power that a user asked for, until it is closed', () => {
  const { client } = rig();
  const status = () => client.text(`${HERE}/power/runtime_status`);
  const { d } = client.device();
  const set = (feature: number): void => {
    const flags = v.VFIO_DEVICE_FEATURE_SET | feature;
    must(client.call(d, v.VFIO_DEVICE_FEATURE, v.vfio_device_feature, { flags, argsz: 8 }).rc);
  };
  expect(status()).toBe('active\n');
  set(v.VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY);
  expect(status()).toBe('suspended\n');
  set(v.VFIO_DEVICE_FEATURE_LOW_POWER_EXIT);
  expect(status()).toBe('active\n');
  set(v.VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY);
  client.program.close(d);
  expect(status()).toBe('active\n');
});

describe('rom', () => {
  test('can be read after 1 was written, until 0 is', () => {
    const { client, echo } = rig({ options: { rom: true } });
    expect(client.text(`${HERE}/rom`)).toBe(EINVAL);
    expect(echo('rom', '1\n')).toBe(2);
    expect(String(client.text(`${HERE}/rom`)).length).toBe(2048);
    expect(echo('rom', '0\n')).toBe(2);
    expect(client.text(`${HERE}/rom`)).toBe(EINVAL);
  });
  test('is not there without an image', () => {
    expect(must(rig().client.program.readdir(HERE))).not.toContain('rom');
  });
});

test('config of a function that was pulled out reads all ones', () => {
  const { client, machine } = rig();
  must(client.device().d);
  const fd = must(client.program.open(`${HERE}/config`, { write: false }));
  must(machine.hotplug.unplug(EDU) ?? 0);
  const again = must(client.program.open(`${HERE}/config`, { write: false }));
  for (const each of [fd, again]) {
    expect([...must(client.pread(each, 0n, 4))]).toEqual([255, 255, 255, 255]);
  }
});

describe('bar: none', () => {
  const info = (client: Client, d: number) =>
    client.call(d, v.VFIO_DEVICE_GET_REGION_INFO, v.vfio_region_info, { index: 0 }).out;
  test('a BAR is read and written, and cannot be mapped', () => {
    const { client } = rig({ bar: 'none' });
    const { d } = client.device();
    expect(info(client, d).flags).toBe(
      v.VFIO_REGION_INFO_FLAG_READ | v.VFIO_REGION_INFO_FLAG_WRITE,
    );
    expect(client.program.mmap(0x1000, { fd: d, offset: 0n })).toBe(EINVAL);
    must(client.pwrite(d, 0x10n, Uint8Array.of(1, 2, 3, 4)));
    expect([...must(client.pread(d, 0x10n, 4))]).toEqual([1, 2, 3, 4]);
  });
  test('of one BAR says nothing of the others', () => {
    const { client } = rig({ type: 'generic', bar: { '4': 'none' } });
    const { d } = client.device();
    const canMap = (index: number): boolean => {
      const arg = client.call(d, v.VFIO_DEVICE_GET_REGION_INFO, v.vfio_region_info, { index });
      return (arg.out.flags & v.VFIO_REGION_INFO_FLAG_MMAP) !== 0;
    };
    expect([canMap(0), canMap(4)]).toEqual([true, false]);
    expect(client.program.mmap(0x1000, { fd: d, offset: 4n << 40n })).toBe(EINVAL);
    must(client.program.mmap(0x1000, { fd: d, offset: 0n }));
  });
  test('is not what devices have by default', () => {
    const { client } = rig();
    const { d } = client.device();
    expect(info(client, d).flags & v.VFIO_REGION_INFO_FLAG_MMAP).not.toBe(0);
  });
});
