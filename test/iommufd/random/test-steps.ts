/** Random operations of IOMMU_TEST_CMD: mock devices, accesses, faults and events, dma-bufs. */
import fc from 'fast-check';
import * as t from '../../../src/uapi/iommufd-test.ts';
import { flag, iova, length, one, pasid, pointer, va } from './arguments.ts';
import { testCommand, type Command } from './command.ts';
import { pick, sure } from './picks.ts';
import { BUFFER } from '../../../src/testing/iommufd/process.ts';

const UNANSWERED = 'the device is attached, only the answer could not be written (5.3)';
const attachable = fc.oneof(pick('attachable'), pick('IOAS'), pick('HWPT'), pick('PASID hwpt'));
const REACHED = 'pages before the failing one are copied; that is memory, not state';

const DEVICES: readonly Command[] = [
  testCommand({
    name: 'IOMMU_TEST_OP_ADD_RESERVED',
    op: t.IOMMU_TEST_OP_ADD_RESERVED,
    layout: t.iommu_test_add_reserved,
    fields: {
      on: pick('IOAS'),
      start: fc.constantFrom(0x300_0000n, 0x100_3000n, 0x80_0000n),
      length: fc.constantFrom(0x1000n, 0x1n, 0n, (1n << 64n) - 1n),
    },
    weight: 1,
  }),
  testCommand({
    name: 'IOMMU_TEST_OP_MOCK_DOMAIN',
    op: t.IOMMU_TEST_OP_MOCK_DOMAIN,
    layout: t.iommu_test_mock_domain,
    fields: { on: attachable },
    weight: 5,
  }),
  testCommand({
    name: 'IOMMU_TEST_OP_MOCK_DOMAIN_FLAGS',
    op: t.IOMMU_TEST_OP_MOCK_DOMAIN_FLAGS,
    layout: t.iommu_test_mock_domain,
    fields: { on: attachable, dev_flags: fc.constantFrom(0, 1, 4, 4, 5, 2) },
    weight: 3,
  }),
  testCommand({
    name: 'IOMMU_TEST_OP_MOCK_DOMAIN_REPLACE',
    op: t.IOMMU_TEST_OP_MOCK_DOMAIN_REPLACE,
    layout: t.iommu_test_mock_domain_replace,
    fields: { on: pick('SELFTEST'), pt_id: attachable },
    weight: 6,
    unanswered: UNANSWERED,
  }),
  ...(
    [
      ['IOMMU_TEST_OP_PASID_ATTACH', t.IOMMU_TEST_OP_PASID_ATTACH],
      ['IOMMU_TEST_OP_PASID_REPLACE', t.IOMMU_TEST_OP_PASID_REPLACE],
    ] as const
  ).map(([name, op]) =>
    testCommand({
      name: name,
      op: op,
      layout: t.iommu_test_pasid_attach,
      fields: { on: pick('SELFTEST'), pasid, pt_id: attachable },
      weight: 4,
      unanswered: UNANSWERED,
    }),
  ),
  testCommand({
    name: 'IOMMU_TEST_OP_PASID_DETACH',
    op: t.IOMMU_TEST_OP_PASID_DETACH,
    layout: t.iommu_test_pasid_attach,
    fields: { on: pick('SELFTEST'), pasid },
  }),
  testCommand({
    name: 'IOMMU_TEST_OP_PASID_CHECK_HWPT',
    op: t.IOMMU_TEST_OP_PASID_CHECK_HWPT,
    layout: t.iommu_test_pasid_check,
    fields: { on: pick('SELFTEST'), pasid, hwpt_id: fc.oneof(pick('HWPT'), fc.constant(0)) },
  }),
];

const CHECKS: readonly Command[] = [
  testCommand({
    name: 'IOMMU_TEST_OP_MD_CHECK_MAP',
    op: t.IOMMU_TEST_OP_MD_CHECK_MAP,
    layout: t.iommu_test_check_map,
    fields: {
      on: pick('HWPT_PAGING'),
      iova: fc.oneof(sure('mapping'), iova),
      length: fc.constantFrom(0x800n, 0x1000n, 0n, 1n),
      uptr: va,
    },
  }),
  testCommand({
    name: 'IOMMU_TEST_OP_MD_CHECK_REFS',
    op: t.IOMMU_TEST_OP_MD_CHECK_REFS,
    layout: t.iommu_test_check_refs,
    fields: {
      length: fc.constantFrom(0x1000n, 0x2000n, 1n),
      uptr: fc.constantFrom(BUFFER, BUFFER + 0x1000n, BUFFER + 1n),
      refs: fc.constantFrom(0, 1, 2),
    },
    weight: 3,
  }),
  testCommand({
    name: 'IOMMU_TEST_OP_MD_CHECK_IOTLB',
    op: t.IOMMU_TEST_OP_MD_CHECK_IOTLB,
    layout: t.iommu_test_check_iotlb,
    fields: {
      on: fc.oneof(sure('HWPT_NESTED'), pick('HWPT')),
      id: flag(0, 3, 4),
      iotlb: fc.constantFrom(t.IOMMU_TEST_IOTLB_DEFAULT, 7, 0),
    },
    weight: 4,
  }),
  testCommand({
    name: 'IOMMU_TEST_OP_DEV_CHECK_CACHE',
    op: t.IOMMU_TEST_OP_DEV_CHECK_CACHE,
    layout: t.iommu_test_check_dev_cache,
    fields: {
      on: pick('DEVICE'),
      id: flag(0, 3, 4),
      cache: fc.constantFrom(t.IOMMU_TEST_DEV_CACHE_DEFAULT, 0),
    },
  }),
  testCommand({
    name: 'IOMMU_TEST_OP_DIRTY',
    op: t.IOMMU_TEST_OP_DIRTY,
    layout: t.iommu_test_dirty,
    fields: {
      on: fc.oneof(sure('dirty hwpt'), sure('dirty hwpt'), pick('HWPT')),
      flags: fc.constant(0),
      iova: fc.oneof(sure('mapping'), iova),
      length: fc.constantFrom(0x1000n, 0x2000n, 0x800n, 0n, 1n << 60n),
      page_size: fc.constantFrom(0x800n, 0x1000n, 0n),
      uptr: pointer,
    },
    data: fc.constantFrom([0x5], [0xffff_ffff]),
    unanswered: 'the pages are dirty all the same',
  }),
  testCommand({
    name: 'IOMMU_TEST_OP_SET_TEMP_MEMORY_LIMIT',
    op: t.IOMMU_TEST_OP_SET_TEMP_MEMORY_LIMIT,
    layout: t.iommu_test_memory_limit,
    fields: { limit: fc.constantFrom(16, 24, 100, 65536, 65536, 11) },
    weight: 1,
  }),
];

const ACCESSES: readonly Command[] = [
  testCommand({
    name: 'IOMMU_TEST_OP_CREATE_ACCESS',
    op: t.IOMMU_TEST_OP_CREATE_ACCESS,
    layout: t.iommu_test_create_access,
    fields: { on: pick('IOAS'), flags: fc.constantFrom(1, 1, 0, 2) },
    weight: 3,
  }),
  testCommand({
    name: 'IOMMU_TEST_OP_ACCESS_PAGES',
    op: t.IOMMU_TEST_OP_ACCESS_PAGES,
    layout: t.iommu_test_access_pages,
    fields: {
      on: sure('access fd'),
      flags: flag(0, 1, 2),
      iova: fc.oneof(sure('mapping'), sure('mapping'), iova),
      length: fc.oneof(sure('mapping length'), length),
      uptr: fc.oneof(one(3, 0n), one(1, BUFFER)),
    },
    weight: 5,
  }),
  testCommand({
    name: 'IOMMU_TEST_OP_DESTROY_ACCESS_PAGES',
    op: t.IOMMU_TEST_OP_DESTROY_ACCESS_PAGES,
    layout: t.iommu_test_destroy_access_pages,
    fields: { on: sure('access fd'), access_pages_id: pick('access item') },
  }),
  testCommand({
    name: 'IOMMU_TEST_OP_ACCESS_RW',
    op: t.IOMMU_TEST_OP_ACCESS_RW,
    layout: t.iommu_test_access_rw,
    fields: {
      on: sure('access fd'),
      iova: fc.oneof(sure('mapping'), iova),
      length: fc.constantFrom(4n, 0x800n, 0x1000n, 0x1800n, 0n, 1n << 40n),
      uptr: pointer,
      flags: fc.constantFrom(0, 1, 4, 5, 8),
    },
    weight: 5,
    unanswered: REACHED,
  }),
  testCommand({
    name: 'IOMMU_TEST_OP_ACCESS_REPLACE_IOAS',
    op: t.IOMMU_TEST_OP_ACCESS_REPLACE_IOAS,
    layout: t.iommu_test_access_replace_ioas,
    fields: { on: sure('access fd'), ioas_id: pick('IOAS') },
    weight: 3,
  }),
];

const EVENTS: readonly Command[] = [
  testCommand({
    name: 'IOMMU_TEST_OP_TRIGGER_IOPF',
    op: t.IOMMU_TEST_OP_TRIGGER_IOPF,
    layout: t.iommu_test_trigger_iopf,
    fields: {
      dev_id: pick('DEVICE'),
      pasid,
      grpid: fc.nat(3),
      perm: fc.nat(7),
      addr: iova,
    },
    weight: 5,
  }),
  testCommand({
    name: 'IOMMU_TEST_OP_TRIGGER_VEVENT',
    op: t.IOMMU_TEST_OP_TRIGGER_VEVENT,
    layout: t.iommu_test_trigger_vevent,
    fields: { dev_id: pick('DEVICE') },
    weight: 5,
  }),
  testCommand({
    name: 'IOMMU_TEST_OP_DMABUF_GET',
    op: t.IOMMU_TEST_OP_DMABUF_GET,
    layout: t.iommu_test_dmabuf_get,
    fields: {
      length: fc.constantFrom(0x1000, 0x1000, 0x3000, 0, 0x20_1000),
      open_flags: fc.constantFrom(0, 0o2000000),
    },
    weight: 3,
  }),
  testCommand({
    name: 'IOMMU_TEST_OP_DMABUF_REVOKE',
    op: t.IOMMU_TEST_OP_DMABUF_REVOKE,
    layout: t.iommu_test_dmabuf_revoke,
    fields: {
      dmabuf_fd: fc.oneof(sure('dmabuf fd'), sure('dmabuf fd'), sure('any fd')),
      revoked: fc.constantFrom(1, 0),
    },
  }),
];

export const TEST_COMMANDS: readonly Command[] = [...DEVICES, ...CHECKS, ...ACCESSES, ...EVENTS];
