/** Random commands of /dev/iommu, valid or not: ids, addresses and lengths from small sets, so that they often meet. */
import fc from 'fast-check';
import * as uapi from '../../src/uapi/iommufd.ts';
import * as t from '../../src/uapi/iommufd-test.ts';
import { copy, destroy, hwptAlloc, map, mockDomain, testOp, unmap } from './calls.ts';
import { ARRAY, BUFFER, type Iommufd } from './world.ts';

const id = fc.integer({ min: 0, max: 12 });
const iova = fc
  .tuple(fc.constantFrom(0n, 0x100_0000n, 0x100_0800n), fc.integer({ min: 0, max: 6 }))
  .map(([base, page]) => base + BigInt(page) * 0x1000n);
const va = fc
  .tuple(fc.constantFrom(0n, 0x800n, 0x801n), fc.integer({ min: 0, max: 17 }))
  .map(([offset, page]) => BUFFER + offset + BigInt(page) * 0x1000n);
const length = fc.constantFrom(0x800n, 0x1000n, 0x1800n, 0x3000n, 0n, 1n);
const flags = fc.constantFrom(0, 1, 2, 3, 4, 8, 11);
const pasid = fc.constantFrom(0, 5, 1024);

/** One command: an errno, or something else when it worked. */
export interface Step {
  readonly run: (fd: Iommufd) => unknown;
  /** What was done before the failure stays done. */
  readonly partial: boolean;
}
const member = <T extends object>(
  values: fc.Arbitrary<T>,
  run: (fd: Iommufd, v: T) => unknown,
  partial = false,
): fc.Arbitrary<Step> => values.map((v) => ({ run: (fd) => run(fd, v), partial }));

export const step: fc.Arbitrary<Step> = fc.oneof(
  member(fc.record({}), (fd) => fd.call(uapi.IOMMU_IOAS_ALLOC, uapi.iommu_ioas_alloc, {})),
  member(fc.record({ id }), (fd, v) => destroy(fd, v.id)),
  member(fc.record({ id, va, length, iova, fixed: fc.boolean() }), (fd, v) =>
    map(fd, v.id, v.va, v.length, v.fixed ? v.iova : undefined),
  ),
  member(fc.record({ id, va, length, iova }), (fd, v) => map(fd, v.id, v.va, v.length, v.iova, 4)),
  member(fc.record({ id, iova, length }), (fd, v) => unmap(fd, v.id, v.iova, v.length), true),
  member(fc.record({ src: id, dst: id, iova, length, to: iova }), (fd, v) =>
    copy(fd, v, v.iova, v.length, v.to),
  ),
  member(fc.record({ id, dev: fc.constantFrom(undefined, 0, 1, 4) }), (fd, v) =>
    mockDomain(fd, v.id, v.dev),
  ),
  member(fc.record({ id, pt_id: id }), (fd, v) =>
    testOp(fd, 10, v.id, t.iommu_test_mock_domain_replace, { pt_id: v.pt_id }),
  ),
  member(fc.record({ id, pasid, pt_id: id, op: fc.constantFrom(18, 19, 20) }), (fd, v) =>
    testOp(fd, v.op, v.id, t.iommu_test_pasid_attach, { pasid: v.pasid, pt_id: v.pt_id }),
  ),
  member(fc.record({ dev: id, pt: id, flags, nested: fc.boolean() }), (fd, v) =>
    hwptAlloc(fd, v.dev, v.pt, {
      flags: v.flags,
      ...(v.nested && { data_type: t.IOMMU_HWPT_DATA_SELFTEST, data_len: 4, data_uptr: ARRAY }),
    }),
  ),
  member(fc.record({ dev_id: id, hwpt_id: id }), (fd, v) =>
    fd.call(uapi.IOMMU_VIOMMU_ALLOC, uapi.iommu_viommu_alloc, {
      ...v,
      type: t.IOMMU_VIOMMU_TYPE_SELFTEST,
    }),
  ),
  member(fc.record({ viommu_id: id, dev_id: id, virt: fc.integer({ min: 0, max: 2 }) }), (fd, v) =>
    fd.call(uapi.IOMMU_VDEVICE_ALLOC, uapi.iommu_vdevice_alloc, {
      viommu_id: v.viommu_id,
      dev_id: v.dev_id,
      virt_id: BigInt(v.virt),
    }),
  ),
  member(
    fc.record({ viommu_id: id, index: fc.integer({ min: 0, max: 2 }), iova, length }),
    (fd, v) =>
      fd.call(uapi.IOMMU_HW_QUEUE_ALLOC, uapi.iommu_hw_queue_alloc, {
        viommu_id: v.viommu_id,
        type: t.IOMMU_HW_QUEUE_TYPE_SELFTEST,
        index: v.index,
        nesting_parent_iova: v.iova,
        length: v.length,
      }),
  ),
  member(fc.record({ viommu_id: id }), (fd, v) =>
    fd.call(uapi.IOMMU_VEVENTQ_ALLOC, uapi.iommu_veventq_alloc, {
      ...v,
      type: t.IOMMU_VEVENTQ_TYPE_SELFTEST,
      veventq_depth: 1,
    }),
  ),
  member(fc.record({}), (fd) => fd.call(uapi.IOMMU_FAULT_QUEUE_ALLOC, uapi.iommu_fault_alloc, {})),
  member(fc.record({ id, flags: fc.constantFrom(0, 1) }), (fd, v) =>
    testOp(fd, 5, v.id, t.iommu_test_create_access, { flags: v.flags }),
  ),
  member(
    fc.record({ fd: fc.integer({ min: 3, max: 6 }), iova, length, flags: fc.constantFrom(0, 1) }),
    (fd, v) =>
      testOp(fd, 7, v.fd, t.iommu_test_access_pages, {
        flags: v.flags,
        iova: v.iova,
        length: v.length,
      }),
  ),
  member(
    fc.record({ fd: fc.integer({ min: 3, max: 6 }), item: fc.integer({ min: 0, max: 3 }) }),
    (fd, v) => testOp(fd, 6, v.fd, t.iommu_test_destroy_access_pages, { access_pages_id: v.item }),
  ),
  member(fc.record({ fd: fc.integer({ min: 3, max: 6 }), ioas_id: id }), (fd, v) =>
    testOp(fd, 11, v.fd, t.iommu_test_access_replace_ioas, { ioas_id: v.ioas_id }),
  ),
  member(fc.record({ fd: fc.integer({ min: 3, max: 6 }) }), (fd, v) => fd.task.close(v.fd)),
  member(fc.record({ id, on: fc.constantFrom(0n, 1n) }), (fd, v) =>
    fd.call(uapi.IOMMU_OPTION, uapi.iommu_option, { option_id: 1, object_id: v.id, val64: v.on }),
  ),
  member(fc.record({ limit: fc.constantFrom(16, 100, 65536) }), (fd, v) =>
    testOp(fd, 9, 0, t.iommu_test_memory_limit, v),
  ),
);
