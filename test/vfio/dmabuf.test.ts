/** BARs as dma-bufs, and what iommufd makes of them (vfio.md 2.10, iommufd.md 2.5). */
import { describe, expect, test } from 'vitest';
import { EFAULT, EINVAL, ENODEV, ENOTTY, EOPNOTSUPP, type Errno } from '../../src/base/errno.ts';
import { EDU_REG } from '../../src/devices/edu/edu.ts';
import type { MachineInput } from '../../src/machine/description/description.ts';
import * as i from '../../src/uapi/iommufd.ts';
import * as v from '../../src/uapi/vfio.ts';
import { CdevClient } from '../../src/testing/machine/cdev-client.ts';
import { machineOf } from '../../src/testing/machine/client.ts';
import { must } from '../../src/testing/base/must.ts';

const PAGE = 0x1000n;
const BAR = 0x10_0000n;
const IOVA = 0x100_0000n;
const CONFIG = 7n << 40n;
const GET = v.VFIO_DEVICE_FEATURE_GET | v.VFIO_DEVICE_FEATURE_DMA_BUF;
const [A, B] = ['0000:00:04.0', '0000:00:05.0'] as const;

const TWO: MachineInput = {
  devices: [
    { type: 'edu', at: A, options: { pcie: true } },
    { type: 'edu', at: B },
  ],
};

interface Export {
  readonly region_index?: number;
  readonly open_flags?: number;
  readonly flags?: number;
  readonly nr_ranges?: number;
  readonly ranges?: readonly (readonly [offset: bigint, length: bigint])[];
}

/** A exports, B reaches it through an IOAS of the same iommufd. */
function rig(input: MachineInput = TWO) {
  const client = new CdevClient(machineOf(input));
  const iommufd = client.iommufd();
  const [a, b] = [client.cdev(0), client.cdev(1)];
  for (const d of [a, b]) {
    expect(client.bind(d, iommufd).rc).toBe(0);
    must(client.pwrite(d, CONFIG + 4n, Uint8Array.of(6, 0)));
  }
  const ioas_id = client.ioas(iommufd);
  expect(client.attach(b, ioas_id).rc).toBe(0);
  const exportBar = (values: Export = {}, flags = GET, argsz?: number) => {
    const { ranges = [[0n, BAR]], ...fields } = values;
    const tail = new Uint8Array(16 + 16 * ranges.length);
    const head = v.vfio_device_feature_dma_buf.view(tail.subarray(0, 16));
    Object.assign(head, { nr_ranges: ranges.length, ...fields });
    for (const [n, [offset, length]] of ranges.entries()) {
      const range = v.vfio_region_dma_range.view(tail.subarray(16 + 16 * n, 32 + 16 * n));
      Object.assign(range, { offset, length });
    }
    const head8 = { flags, argsz: argsz ?? 8 + tail.length };
    return client.call(a, v.VFIO_DEVICE_FEATURE, v.vfio_device_feature, head8, tail).rc;
  };
  const mapFile = (fd: number, values: Record<string, number | bigint> = {}) =>
    client.call(iommufd, i.IOMMU_IOAS_MAP_FILE, i.iommu_ioas_map_file, {
      ...{ size: 40, flags: 7, ioas_id, fd },
      ...{ start: 0n, length: BAR, iova: IOVA },
      ...values,
    }).rc;
  const unmap = () =>
    client.call(iommufd, i.IOMMU_IOAS_UNMAP, i.iommu_ioas_unmap, {
      ...{ size: 24, ioas_id },
      ...{ iova: IOVA, length: BAR },
    }).rc;
  const port = () => client.machine.pci.device(B)!.slot.dma;
  /** B writes to a register of A: that of the edu answers with the complement, a generic one with what was written. */
  const reaches = (value: number): boolean => {
    const at = IOVA + BigInt(EDU_REG.liveness);
    const bytes = new Uint8Array(new Uint32Array([value]).buffer);
    if (port().write(at, bytes)) return false;
    const back = new Uint8Array(4);
    expect(port().read(at, back)).toBeUndefined();
    return [value, ~value >>> 0].includes(new Uint32Array(back.buffer)[0]!);
  };
  const command = (value: number) => must(client.pwrite(a, CONFIG + 4n, Uint8Array.of(value, 0)));
  return { client, iommufd, a, b, exportBar, mapFile, unmap, reaches, command };
}

describe('the export', () => {
  test.for<[string, Export, Errno]>([
    ['no ranges', { nr_ranges: 0 }, EINVAL],
    ['a flag', { flags: 1 }, EINVAL],
    ['no BAR of this number', { region_index: 6 }, ENODEV],
    ['a BAR the device has not', { region_index: 1 }, ENODEV],
    ['an empty range', { ranges: [[0n, 0n]] }, EINVAL],
    ['half a page', { ranges: [[0n, 0x800n]] }, EINVAL],
    ['from inside a page', { ranges: [[0x800n, PAGE]] }, EINVAL],
    ['beyond the BAR', { ranges: [[PAGE, BAR]] }, EINVAL],
    [
      'a second one beyond the BAR',
      {
        ranges: [
          [0n, PAGE],
          [BAR, PAGE],
        ],
      },
      EINVAL,
    ],
    ['a length that wraps', { ranges: [[PAGE, (1n << 64n) - PAGE]] }, EINVAL],
    ['flag before BAR', { flags: 1, region_index: 9 }, EINVAL],
    ['BAR before ranges', { region_index: 9, ranges: [[0n, 0n]] }, ENODEV],
  ])('the export of a dma-buf is refused: %s', ([, values, errno]) => {
    expect(rig().exportBar(values)).toBe(errno);
  });
  test('the export of a dma-buf is a feature to get, and can be asked for', () => {
    const { exportBar } = rig();
    const { VFIO_DEVICE_FEATURE_PROBE: PROBE, VFIO_DEVICE_FEATURE_SET: SET } = v;
    expect(exportBar({}, GET | PROBE)).toBe(0);
    expect(exportBar({}, SET | v.VFIO_DEVICE_FEATURE_DMA_BUF)).toBe(EINVAL);
    expect(exportBar({}, GET, 8 + 15)).toBe(EINVAL);
    expect(exportBar({ region_index: 9 }, GET, 8 + 16)).toBe(ENODEV);
  });
  test('ranges of a dma-buf that cannot be read are EFAULT', () => {
    const { client, a } = rig();
    const page = client.memory(0x1000);
    const at = page + 0x1000n - 24n;
    client.put(at, new Uint8Array(new Uint32Array([24, GET, 0, 0, 0, 1]).buffer));
    expect(client.plain(a, v.VFIO_DEVICE_FEATURE, at)).toBe(EFAULT);
  });
  test.for<[string, MachineInput['kernel']]>([
    ['in older kernels', { version: '6.12', with: [] }],
    ['where the kernel is built without it', { version: '7.3', without: ['vfio-dmabuf'] }],
  ])('the export of a dma-buf is not there %s', ([, kernel]) => {
    const { exportBar } = rig({ ...TWO, kernel });
    expect(exportBar()).toBe(ENOTTY);
    expect(exportBar({}, GET | v.VFIO_DEVICE_FEATURE_PROBE)).toBe(ENOTTY);
  });
});

test('another device reaches the registers through its own tables', () => {
  const { client, exportBar, mapFile, unmap, reaches } = rig();
  const fd = must(exportBar());
  expect(reaches(1)).toBe(false);
  expect(mapFile(fd)).toBe(0);
  expect(reaches(0x1234)).toBe(true);
  // The mapping holds the memory, not the file.
  expect(client.program.close(fd)).toBeUndefined();
  expect(reaches(0x5678)).toBe(true);
  expect(unmap()).toBe(0);
  expect(reaches(1)).toBe(false);
  client.machine.close();
});

test('a part of a dma-buf is mapped by its offset, and beyond its end is EINVAL', () => {
  const { exportBar, mapFile } = rig();
  const fd = must(exportBar({ ranges: [[PAGE, 2n * PAGE]] }));
  expect(mapFile(fd, { length: 3n * PAGE })).toBe(EINVAL);
  expect(mapFile(fd, { start: PAGE, length: 2n * PAGE })).toBe(EINVAL);
  expect(mapFile(fd, { start: PAGE, length: PAGE })).toBe(0);
});

test('iommufd takes dma-bufs of one piece', () => {
  const { exportBar, mapFile } = rig();
  const fd = must(
    exportBar({
      ranges: [
        [0n, PAGE],
        [PAGE, PAGE],
      ],
    }),
  );
  expect(mapFile(fd, { length: 2n * PAGE })).toBe(EOPNOTSUPP);
});

describe('what is mapped is lost for good', () => {
  type Rig = ReturnType<typeof rig>;
  test.for<[string, (r: Rig) => void, (r: Rig) => void]>([
    ['memory decode off', (r) => r.command(4), (r) => r.command(6)],
    [
      'low power',
      (r) => feature(r, v.VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY),
      (r) => feature(r, v.VFIO_DEVICE_FEATURE_LOW_POWER_EXIT),
    ],
  ])('what is mapped of a dma-buf is lost for good after %s', ([, off, on]) => {
    const r = rig();
    const fd = must(r.exportBar());
    expect(r.mapFile(fd)).toBe(0);
    expect(r.reaches(1)).toBe(true);
    off(r);
    expect(r.reaches(2)).toBe(false);
    expect(r.mapFile(fd, { iova: 2n * IOVA })).toBe(ENODEV);
    on(r);
    expect(r.reaches(3)).toBe(false);
    // The dma-buf itself is usable again.
    expect(r.unmap()).toBe(0);
    expect(r.mapFile(fd)).toBe(0);
    expect(r.reaches(4)).toBe(true);
  });
  test('what is mapped of a dma-buf is lost for good after the device went to D3', () => {
    const generic = { type: 'generic', at: A, options: { bar_size: Number(BAR) } };
    const r = rig({ devices: [generic, { type: 'edu', at: B }] });
    const fd = must(r.exportBar());
    expect(r.mapFile(fd)).toBe(0);
    expect(r.reaches(1)).toBe(true);
    setPower(r, 3);
    expect([r.reaches(2), r.mapFile(fd, { iova: 2n * IOVA })]).toEqual([false, ENODEV]);
    setPower(r, 0);
    expect([r.reaches(3), r.unmap(), r.mapFile(fd), r.reaches(4)]).toEqual([false, 0, 0, true]);
  });
  test('what is mapped of a dma-buf is lost for good after a reset', () => {
    const r = rig();
    const fd = must(r.exportBar());
    expect(r.mapFile(fd)).toBe(0);
    expect(r.client.plain(r.a, v.VFIO_DEVICE_RESET)).toBe(0);
    expect(r.reaches(1)).toBe(false);
    expect(r.mapFile(fd, { iova: 2n * IOVA })).toBe(0);
  });
  test('what is mapped of a dma-buf is lost for good, and then for everybody, after the last close', () => {
    const r = rig();
    const fd = must(r.exportBar());
    expect(r.mapFile(fd)).toBe(0);
    expect(r.client.program.close(r.a)).toBeUndefined();
    expect(r.reaches(1)).toBe(false);
    expect(r.mapFile(fd, { iova: 2n * IOVA })).toBe(ENODEV);
    const again = r.client.cdev(0);
    expect(r.client.bind(again, r.iommufd).rc).toBe(0);
    must(r.client.pwrite(again, CONFIG + 4n, Uint8Array.of(6, 0)));
    expect(r.mapFile(fd, { iova: 2n * IOVA })).toBe(ENODEV);
    r.client.machine.close();
  });
  test('a dma-buf that is exported while the registers are off is revoked from the start', () => {
    const r = rig();
    r.command(4);
    const fd = must(r.exportBar());
    expect(r.mapFile(fd)).toBe(ENODEV);
    r.command(6);
    expect(r.mapFile(fd)).toBe(0);
  });
});

function feature({ client, a }: ReturnType<typeof rig>, index: number): void {
  const flags = v.VFIO_DEVICE_FEATURE_SET | index;
  expect(client.call(a, v.VFIO_DEVICE_FEATURE, v.vfio_device_feature, { flags }).rc).toBe(0);
}
function setPower({ client, a }: ReturnType<typeof rig>, state: number): void {
  const { fn } = client.machine.pci.device(A)!;
  const pm = fn.config.capability(1);
  if (pm === 0) throw new Error('no power management');
  must(client.pwrite(a, CONFIG + BigInt(pm) + 4n, Uint8Array.of(state, 0)));
}
