/** Refusals of VFIO that need a machine of their own (vfio.md 1.2, 1.4, 3.5). */
import { describe, expect, test } from 'vitest';
import { EINVAL, ENODEV, EPERM } from '../../src/base/errno.ts';
import { noiommuDriver } from '../../src/vfio/noiommu.ts';
import { attachGroupTo } from '../../src/vfio/type1/attach.ts';
import { Type1Container } from '../../src/vfio/type1/type1.ts';
import { openCdev } from '../../src/vfio/device-file.ts';
import * as v from '../../src/uapi/vfio.ts';
import { Client, EDU, machineOf } from '../../src/testing/machine/client.ts';
import { must } from '../../src/testing/base/must.ts';

const GENERIC = { type: 'generic', at: '0000:00:05.0' } as const;

/** Is the function in the hands of vfio-pci after the boot? */
function isTaken(input: Parameters<typeof machineOf>[0], at: string): boolean {
  return machineOf(input).pci.device(at)?.driver?.name === 'vfio-pci';
}

describe('vfio-pci does not take', () => {
  test('vfio-pci does not take a device on the denylist, which is EINVAL', () => {
    const device = { ...GENERIC, options: { vendor: 0x8086, device: 0x37c8 } };
    expect(isTaken({ devices: [device] }, GENERIC.at)).toBe(false);
    expect(isTaken({ devices: [{ ...device, options: { vendor: 0x8086 } }] }, GENERIC.at)).toBe(
      true,
    );
    const kernel = { with: ['vfio-denylist-off' as const] };
    expect(isTaken({ kernel, devices: [device] }, GENERIC.at)).toBe(true);
  });
  test('vfio-pci does not take a bridge, which is EINVAL', () => {
    const machine = machineOf('multifunction');
    const port = machine.pci.device('0000:00:01.0')!;
    const client = new Client(machine);
    const override = must(
      client.program.open('/sys/bus/pci/devices/0000:00:01.0/driver_override', { write: true }),
    );
    must(client.program.write(override, new TextEncoder().encode('vfio-pci'), 0n));
    const unbind = must(
      client.program.open('/sys/bus/pci/drivers/pcieport/unbind', { write: true }),
    );
    must(client.program.write(unbind, new TextEncoder().encode('0000:00:01.0'), 0n));
    const bind = must(client.program.open('/sys/bus/pci/drivers/vfio-pci/bind', { write: true }));
    expect(client.program.write(bind, new TextEncoder().encode('0000:00:01.0'), 0n)).toBe(EINVAL);
    expect(port.driver).toBeUndefined();
  });
  test('vfio-pci does not take a device whose IOMMU is not cache coherent, which is EINVAL', () => {
    const mock = { type: 'mock', cacheCoherency: false } as const;
    expect(isTaken({ iommus: [mock], devices: [GENERIC] }, GENERIC.at)).toBe(false);
    expect(isTaken({ iommus: [{ type: 'mock' }], devices: [GENERIC] }, GENERIC.at)).toBe(true);
  });
});

test('groups with and without an IOMMU do not share a container, which is EPERM', () => {
  const client = new Client(
    machineOf({
      kernel: { with: ['unsafe-noiommu-mode'] },
      devices: [
        { type: 'edu', at: EDU },
        { ...GENERIC, iommu: 'none' },
      ],
    }),
  );
  const groups = [...client.machine.vfio.groups()];
  expect(groups.map((group) => group.kind).sort()).toEqual(['iommu', 'noiommu']);
  const [one, two] = groups.map((group) => must(client.open(`/dev/vfio/${group.nodeName}`)));
  const c = must(client.open('/dev/vfio/vfio'));
  expect(client.setContainer(one!, c)).toBe(0);
  expect(client.setContainer(two!, c)).toBe(EPERM);
});

test('a noiommu container is of type 8, and another type is EINVAL', () => {
  const client = new Client(machineOf('noiommu'));
  expect(noiommuDriver(client.machine.env).open(client.program, v.VFIO_TYPE1_IOMMU)).toBe(EINVAL);
});

test('a group is in a container once, else EINVAL', () => {
  const client = new Client(machineOf());
  const [group] = [...client.machine.vfio.groups()];
  const g = must(client.open(`/dev/vfio/${group!.nodeName}`));
  const c = must(client.open('/dev/vfio/vfio'));
  expect(client.setContainer(g, c)).toBe(0);
  expect(client.plain(c, v.VFIO_SET_IOMMU, 3)).toBe(0);
  const { iommu } = group!.container!;
  if (!(iommu instanceof Type1Container)) throw new Error('not type1');
  expect(attachGroupTo(iommu.iommu, group!.iommuGroup, 'iommu')).toBe(EINVAL);
});

test('what vfio-pci let go cannot be opened any more, which is ENODEV', () => {
  const client = new Client(machineOf());
  const [group] = [...client.machine.vfio.groups()];
  const [device] = group!.devices;
  const unbind = must(client.program.open('/sys/bus/pci/drivers/vfio-pci/unbind', { write: true }));
  must(client.program.write(unbind, new TextEncoder().encode(EDU), 0n));
  expect(group!.open(client.program)).toBe(ENODEV);
  expect(openCdev(device!, client.program)).toBe(ENODEV);
});
