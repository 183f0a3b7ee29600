/** What VFIO answered otherwise in older kernels, as far as the specification dates it (vfio.md). */
import { describe, expect, test } from 'vitest';
import {
  E2BIG,
  EINVAL,
  EFAULT,
  ENODEV,
  ENOTTY,
  EOVERFLOW,
  isErrno,
  type Result,
} from '../../src/base/errno.ts';
import { isSince, RELEASES, type Release } from '../../src/base/kernel-release.ts';
import type { MachineInput } from '../../src/machine/description/description.ts';
import { createMachine } from '../../src/machine/create-machine.ts';
import { must } from '../../src/testing/base/must.ts';
import { PROBE } from '../../src/testing/devices/probe-device.ts';
import { CdevClient } from '../../src/testing/machine/cdev-client.ts';
import { Client, EDU, machineOf } from '../../src/testing/machine/client.ts';
import * as v from '../../src/uapi/vfio.ts';

const PAGE = 0x1000n;
const LAST_PAGE = 2n ** 64n - PAGE;

function machineAs(version: string, devices: MachineInput['devices'] = [{ type: 'edu', at: EDU }]) {
  return machineOf({ kernel: { version, with: [] }, devices });
}
const isNew = (release: Release): boolean => isSince(release, '6.13');
const WITH_CDEVS = RELEASES.filter((release) => isSince(release, '6.6'));

describe.for(RELEASES)('type1 of %s', (release) => {
  const wraps = isNew(release) ? EOVERFLOW : EINVAL;

  test('a range that wraps has the errno of its time (1.9, 1.10, 1.11)', () => {
    const client = new Client(machineAs(release));
    const { c } = client.container(v.VFIO_TYPE1v2_IOMMU);
    const vaddr = client.memory(0x2000);
    expect(client.map(c, { vaddr, iova: LAST_PAGE, size: 2n * PAGE })).toBe(wraps);
    expect(client.map(c, { vaddr: LAST_PAGE, iova: 0n, size: 2n * PAGE })).toBe(wraps);
    expect(client.map(c, { vaddr, iova: 0n, size: 0n })).toBe(EINVAL);
    expect(client.unmap(c, { iova: LAST_PAGE, size: 2n * PAGE }).rc).toBe(wraps);
    expect(dirty(client, c, LAST_PAGE, 2n * PAGE)).toBe(wraps);
    expect(dirty(client, c, 0n, 0n)).toBe(EINVAL);
  });
  test('the nesting type is there until 6.12, and no IOMMU here takes part (1.7, 1.13)', () => {
    const client = new Client(machineAs(release));
    const NESTING = v.VFIO_TYPE1_NESTING_IOMMU;
    const c = must(client.open('/dev/vfio/vfio'));
    const says = isNew(release) ? 0 : 1;
    expect(client.plain(c, v.VFIO_CHECK_EXTENSION, NESTING)).toBe(says);
    must(client.setContainer(client.group(), c));
    expect(client.plain(c, v.VFIO_SET_IOMMU, NESTING)).toBe(isNew(release) ? ENODEV : EINVAL);
    // What failed is undone: another type can be chosen.
    expect(client.plain(c, v.VFIO_SET_IOMMU, v.VFIO_TYPE1v2_IOMMU)).toBe(0);
    expect(client.plain(c, v.VFIO_CHECK_EXTENSION, NESTING)).toBe(says);
  });
});

function dirty(client: Client, c: number, iova: bigint, size: bigint): Result<number> {
  const get = v.vfio_iommu_type1_dirty_bitmap_get.make({
    ...{ iova, size, pgsize: PAGE, bitmap_size: 8n, data: client.buffer + 0x2000n },
  });
  const flags = v.VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP;
  const type = v.vfio_iommu_type1_dirty_bitmap;
  return client.call(c, v.VFIO_IOMMU_DIRTY_PAGES, type, { flags }, get.bytes).rc;
}

describe.for(WITH_CDEVS)('cdevs of %s', (release) => {
  function rig() {
    const client = new CdevClient(machineAs(release));
    return { client, d: client.cdev(), iommufd: client.iommufd() };
  }
  const TOKEN = v.VFIO_DEVICE_BIND_FLAG_TOKEN;
  test('BIND takes a token and looks at its tail since 6.13 (3.2)', () => {
    const { client, d, iommufd } = rig();
    const type = v.vfio_device_bind_iommufd;
    const withTail = (values: object) =>
      client.call(d, v.VFIO_DEVICE_BIND_IOMMUFD, type, { iommufd: -1, ...values }, Uint8Array.of(1))
        .rc;
    // The tail comes before the negative descriptor, where it is looked at.
    expect(withTail({})).toBe(isNew(release) ? E2BIG : EINVAL);
    // A token of bad memory is EFAULT where it is read.
    const bad = { flags: TOKEN, token_uuid_ptr: 8n };
    expect(client.bind(d, iommufd, bad).rc).toBe(isNew(release) ? EFAULT : EINVAL);
    const old = { argsz: 16, token_uuid_ptr: 0xffffn };
    expect(client.bind(d, iommufd, old).rc).toBe(0);
  });
  test('ATTACH and DETACH take a PASID since 6.13 (3.3)', () => {
    const { client, d, iommufd } = rig();
    expect(client.bind(d, iommufd).rc).toBe(0);
    const ioas = client.ioas(iommufd);
    expect(client.attach(d, ioas, { flags: 1, pasid: 0 }).rc).toBe(isNew(release) ? 0 : EINVAL);
    expect(client.detach(d, { flags: 1, pasid: 0 })).toBe(isNew(release) ? 0 : EINVAL);
    expect(client.attach(d, ioas).rc).toBe(0);
  });
});

describe.for(RELEASES)('vfio-pci of %s', (release) => {
  const irqInfo = (client: Client, d: number, index: number): unknown => {
    const { rc, out } = client.call(d, v.VFIO_DEVICE_GET_IRQ_INFO, v.vfio_irq_info, { index });
    return isErrno(rc) ? rc : [out.flags, out.count];
  };
  test('errors are told of conventional functions since 6.13 (2.5, 2.6)', () => {
    const client = new Client(machineAs(release));
    const { d } = client.device();
    const ERR = v.VFIO_PCI_ERR_IRQ_INDEX;
    expect(irqInfo(client, d, ERR)).toEqual(isNew(release) ? [9, 1] : EINVAL);
    const flags = v.VFIO_IRQ_SET_DATA_EVENTFD | v.VFIO_IRQ_SET_ACTION_TRIGGER;
    const set = client.setIrqs(d, { flags, index: ERR }, [client.eventfd()]);
    expect(set).toBe(isNew(release) ? 0 : EINVAL);
  });
  test('errors are told of PCIe functions in all', () => {
    const pcie = [{ type: 'edu', at: EDU, options: { pcie: true } }];
    const client = new Client(machineAs(release, pcie));
    expect(irqInfo(client, client.device().d, v.VFIO_PCI_ERR_IRQ_INDEX)).toEqual([9, 1]);
  });
  test('MSI-X vectors can be added since 6.5 (2.5, 2.6)', () => {
    const made = createMachine(
      { kernel: { version: release, with: [] }, devices: [{ type: 'probe', at: EDU }] },
      { deviceTypes: new Map([['probe', PROBE]]) },
    );
    if ('problems' in made) throw new Error('no such machine');
    const client = new Client(made.machine);
    const { d } = client.device();
    const index = v.VFIO_PCI_MSIX_IRQ_INDEX;
    const grows = isSince(release, '6.5');
    expect(irqInfo(client, d, index)).toEqual([grows ? 1 : 9, 8]);
    const flags = v.VFIO_IRQ_SET_DATA_EVENTFD | v.VFIO_IRQ_SET_ACTION_TRIGGER;
    expect(client.setIrqs(d, { flags, index }, [client.eventfd()])).toBe(0);
    const later = client.setIrqs(d, { flags, index, start: 2 }, [client.eventfd()]);
    expect(later).toBe(grows ? 0 : EINVAL);
    expect(client.setIrqs(d, { flags, index }, [client.eventfd()])).toBe(0);
  });
  test.for([
    [v.VFIO_DEVICE_FEATURE_DMA_BUF, '7.3', EINVAL],
    [v.VFIO_DEVICE_FEATURE_MIG_PRECOPY_INFOv2, '6.13', EINVAL],
    [13, undefined, ENOTTY],
  ] as const)('feature %i came with %s (2.10)', ([feature, since, errno]) => {
    const client = new Client(machineAs(release));
    const flags = feature | v.VFIO_DEVICE_FEATURE_GET;
    const type = v.vfio_device_feature;
    const { rc } = client.call(client.device().d, v.VFIO_DEVICE_FEATURE, type, { flags });
    expect(rc).toBe(since && isSince(release, since) ? errno : ENOTTY);
  });
  test('fdinfo names the device since 6.13 (1.6)', () => {
    const client = new Client(machineAs(release));
    const file = must(client.program.getFile(client.device().d));
    if (!('ops' in file)) throw new Error('no file of ours');
    const line = `vfio-device-syspath: /sys/devices/pci0000:00/${EDU}\n`;
    expect(file.ops.fdinfo!(file)).toBe(isNew(release) ? line : '');
  });
});
