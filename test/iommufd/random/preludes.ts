/**
 * How random programs begin: each prelude builds up a situation that chance alone seldom reaches, and names the commands
 * that go on from there more often than others.
 */
import * as t from '../../../src/uapi/iommufd-test.ts';
import type { Step } from './command.ts';
import type { Pick, PickName, Values } from './picks.ts';
import { APERTURE } from './arguments.ts';
import { ARRAY, BUFFER } from '../../../src/testing/iommufd/process.ts';

const first = (pick: PickName): Pick => ({ pick, n: 0 });
const step = (name: string, values: Values = {}, data: readonly number[] = []): Step => ({
  name,
  values,
  data,
});
const map = (page: number, flags = 7): Step =>
  step('IOMMU_IOAS_MAP', {
    flags,
    ioas_id: first('IOAS'),
    user_va: BUFFER + BigInt(page) * 0x1000n,
    length: 0x2000n,
    iova: APERTURE + BigInt(page) * 0x1000n,
  });
const hwpt = (flags: number): Step =>
  step('IOMMU_HWPT_ALLOC', { flags, dev_id: first('DEVICE'), pt_id: first('IOAS') });
const replace = (pick: PickName): Step =>
  step('IOMMU_TEST_OP_MOCK_DOMAIN_REPLACE', { on: first('SELFTEST'), pt_id: first(pick) });

const IOAS = step('IOMMU_IOAS_ALLOC');
const DEVICE = step('IOMMU_TEST_OP_MOCK_DOMAIN_FLAGS', {
  on: first('IOAS'),
  dev_flags: t.MOCK_FLAGS_DEVICE_PASID,
});
const FAULTS = step('IOMMU_FAULT_QUEUE_ALLOC');
const ON_DEVICE = { dev_id: first('DEVICE') };
const ON_VIOMMU = { viommu_id: first('VIOMMU') };

export interface Prelude {
  readonly steps: readonly Step[];
  /** Names of commands made more often. */
  readonly then: RegExp;
}

const GUEST =
  /VIOMMU|VDEVICE|VEVENT|HW_QUEUE|NESTED|INVALIDATE|IOTLB|CACHE|IOPF|FAULT|with data|faults|responses|events|mmap$|munmap$|poll|REPLACE|close|DESTROY/;

const FAULT = step('IOMMU_TEST_OP_TRIGGER_IOPF', {
  ...ON_DEVICE,
  pasid: 0,
  grpid: 1,
  perm: 3,
  addr: APERTURE,
});
const READ = step('read of faults', { fd: first('unread fd'), count: 40, offset: -1, reach: 40 });

/** A guest with all its queues. */
const GUEST_STEPS: readonly Step[] = [
  IOAS,
  DEVICE,
  map(0),
  hwpt(1),
  step(
    'IOMMU_VIOMMU_ALLOC',
    {
      ...ON_DEVICE,
      type: t.IOMMU_VIOMMU_TYPE_SELFTEST,
      hwpt_id: first('nest parent'),
      data_len: 24,
      data_uptr: ARRAY,
    },
    [0xbeef, 0, 0, 0, 0, 0],
  ),
  step('IOMMU_VDEVICE_ALLOC', { ...ON_VIOMMU, ...ON_DEVICE, virt_id: 1n }),
  FAULTS,
  step('IOMMU_VEVENTQ_ALLOC', {
    ...ON_VIOMMU,
    type: t.IOMMU_VEVENTQ_TYPE_SELFTEST,
    veventq_depth: 2,
  }),
  step(
    'IOMMU_HWPT_ALLOC with data',
    {
      ...ON_DEVICE,
      flags: 4,
      pt_id: first('VIOMMU'),
      data_type: t.IOMMU_HWPT_DATA_SELFTEST,
      data_len: 8,
      data_uptr: ARRAY,
      fault_id: first('FAULT'),
    },
    [7, 0],
  ),
  replace('HWPT_NESTED'),
  step('IOMMU_HW_QUEUE_ALLOC', {
    ...ON_VIOMMU,
    type: t.IOMMU_HW_QUEUE_TYPE_SELFTEST,
    index: 0,
    nesting_parent_iova: APERTURE,
    length: 0x1000n,
  }),
  FAULT,
  FAULT,
  READ,
  step('IOMMU_TEST_OP_TRIGGER_VEVENT', { on: 0, ...ON_DEVICE }),
];

const MOCK: readonly Prelude[] = [
  { then: GUEST, steps: GUEST_STEPS },
  { then: /DESTROY|close|VEVENT|FAULT|VDEVICE|VIOMMU|munmap$/, steps: GUEST_STEPS },
  {
    then: /PASID|HWPT_ALLOC$|REPLACE|IOPF/,
    steps: [IOAS, DEVICE, hwpt(8), replace('PASID hwpt'), map(0), hwpt(8)],
  },
  {
    then: /DIRTY|IOAS_MAP|UNMAP/,
    steps: [
      IOAS,
      DEVICE,
      hwpt(2),
      map(0),
      step('IOMMU_HWPT_SET_DIRTY_TRACKING', { flags: 1, hwpt_id: first('dirty hwpt') }),
      replace('dirty hwpt'),
    ],
  },
  {
    then: /IOAS_MAP|UNMAP|COPY|HWPT_ALLOC$|MOCK_DOMAIN|fork/,
    steps: [
      IOAS,
      step('IOMMU_OPTION huge pages', { option_id: 1, op: 0, object_id: first('IOAS'), val64: 0n }),
      DEVICE,
    ],
  },
  {
    then: /ACCESS|COPY|UNMAP a|CHECK_REFS|MOCK_DOMAIN$/,
    steps: [
      IOAS,
      map(0),
      step('IOMMU_TEST_OP_CREATE_ACCESS', { on: first('IOAS'), flags: 1 }),
      step('IOMMU_TEST_OP_ACCESS_PAGES', {
        on: first('access fd'),
        iova: first('mapping'),
        length: 0x1000n,
      }),
      IOAS,
    ],
  },
  {
    then: /MAP_FILE|DMABUF|memfd|CHANGE_PROCESS|COPY|fork|exec|exit|UNMAP/,
    steps: [
      IOAS,
      DEVICE,
      step('memfd_create', { pages: 4 }),
      step('IOMMU_TEST_OP_DMABUF_GET', { length: 0x3000 }),
      step('IOMMU_IOAS_MAP_FILE', {
        flags: 6,
        ioas_id: first('IOAS'),
        fd: first('dmabuf fd'),
        length: 0x2000n,
      }),
    ],
  },
  {
    then: /^VFIO_(GET|CHECK|SET|IOMMU)/,
    steps: [
      IOAS,
      step('IOMMU_VFIO_IOAS', { ioas_id: first('IOAS'), op: 1 }),
      step('VFIO_SET_IOMMU', { arg: 1n }),
      DEVICE,
      step('VFIO_IOMMU_MAP_DMA', { flags: 3, vaddr: BUFFER, iova: APERTURE, size: 0x4000n }),
    ],
  },
  {
    then: /CHANGE_PROCESS|MAP_FILE|exec|setuid|memfd|UNMAP/,
    steps: [
      step('capset', { cap: 0 }),
      step('IOMMU_OPTION accounting', { option_id: 0, op: 0, object_id: 0, val64: 1n }),
      step('fork'),
      IOAS,
      DEVICE,
      step('memfd_create', { pages: 4 }),
      step('IOMMU_IOAS_MAP_FILE', {
        flags: 6,
        ioas_id: first('IOAS'),
        fd: first('memfd'),
        length: 0x2000n,
      }),
    ],
  },
  {
    then: /fork|exec|exit|send|dup|close|open$|set|memory|accounting|MAP/,
    steps: [
      step('capset', { cap: 0 }),
      step('IOMMU_OPTION accounting', { option_id: 0, op: 0, object_id: 0, val64: 0n }),
      step('fork'),
      IOAS,
      DEVICE,
      map(0),
    ],
  },
  { then: /./, steps: [] },
];

/** `nth`: of the cdevs the program has open. */
const bind = (n: number, nth = 0): readonly Step[] => [
  step('open of a cdev', { n }),
  step('VFIO_DEVICE_BIND_IOMMUFD', {
    fd: { pick: 'cdev fd', n: nth },
    iommufd: first('iommufd'),
  }),
];
const bound = (n: number): readonly Step[] => [IOAS, map(0), ...bind(n)];
const attach = (pick: PickName, nth = 0): Step =>
  step('VFIO_DEVICE_ATTACH_IOMMUFD_PT', {
    fd: { pick: 'bound cdev fd', n: nth },
    pt_id: first(pick),
  });
const attachPasid = step('VFIO_DEVICE_ATTACH_IOMMUFD_PT of a PASID', {
  fd: first('bound cdev fd'),
  flags: 1,
  pt_id: first('PASID hwpt'),
  pasid: 5,
});

const CDEV = /cdev|VFIO_DEVICE|DMA$/;

const CDEVS: readonly Prelude[] = [
  // One device after the other: alone, two of a group, without IOMMU, emulated.
  ...[0, 1, 2, 3, 3, 4].map((n) => ({
    then: n === 3 ? /GET_PA|IOAS_MAP|UNMAP a/ : CDEV,
    steps: [...bound(n), attach('IOAS'), map(4, 5)],
  })),
  {
    then: CDEV,
    steps: [...bound(1), attach('IOAS'), ...bind(2, 1), attach('IOAS', 1), hwpt(0), hwpt(0)],
  },
  {
    then: /ATTACH|guest of Intel|IOPF|faults|responses|DMA$/,
    steps: [
      ...bound(0),
      hwpt(1),
      FAULTS,
      step(
        'IOMMU_HWPT_ALLOC of a guest of Intel',
        {
          ...ON_DEVICE,
          flags: 4,
          fault_id: first('FAULT'),
          pt_id: first('nest parent'),
          data_type: 1,
          data_len: 24,
          data_uptr: ARRAY,
        },
        [0, 0, Number(APERTURE), 0, 48, 0],
      ),
      attach('HWPT_NESTED'),
      FAULT,
      READ,
    ],
  },
  // Another address space, with the page table of another driver.
  {
    then: /VFIO_DEVICE_ATTACH|MOCK_DOMAIN_REPLACE|HWPT_ALLOC$/,
    steps: [
      ...bound(0),
      attach('IOAS'),
      IOAS,
      step('IOMMU_TEST_OP_MOCK_DOMAIN', { on: { pick: 'IOAS', n: 1 } }),
    ],
  },
  { then: /driver|cdev|VFIO_DEVICE/, steps: [step('unbind of a driver', { n: 3 }), ...bound(0)] },
  // Groups in the place of cdevs: translated, and without IOMMU.
  ...[0, 2].map((n) => ({
    then: /GROUP|group|VFIO_IOMMU|DMA$|VFIO_IOAS/,
    steps: [
      step('open of a group', { n }),
      step('VFIO_GROUP_SET_CONTAINER', { fd: first('group fd'), iommufd: first('iommufd') }),
      step('VFIO_GROUP_GET_DEVICE_FD', { fd: first('group fd'), n: n === 0 ? 0 : 3 }),
    ],
  })),
  {
    then: /VFIO_DEVICE|PASID|DMA$/,
    steps: [...bound(0), hwpt(8), attach('PASID hwpt'), attachPasid],
  },
  {
    then: /VFIO_DEVICE|DIRTY|DMA$/,
    steps: [
      ...bound(0),
      hwpt(2),
      attach('dirty hwpt'),
      step('IOMMU_HWPT_SET_DIRTY_TRACKING', { flags: 1, hwpt_id: first('dirty hwpt') }),
    ],
  },
];

/** Without and with devices of VFIO. */
export const PRELUDES = { mock: MOCK, everything: [...MOCK, ...CDEVS, ...CDEVS] };
