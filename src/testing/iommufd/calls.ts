/** Commands of /dev/iommu as a test writes them: the answer, or the errno. */
import { isErrno, type Errno } from '../../base/errno.ts';
import type { Fields, Struct, View } from '../../base/struct.ts';
import * as uapi from '../../uapi/iommufd.ts';
import * as test from '../../uapi/iommufd-test.ts';
import type { Iommufd } from './world.ts';

const RW = uapi.IOMMU_IOAS_MAP_WRITEABLE | uapi.IOMMU_IOAS_MAP_READABLE;

export function ioasAlloc(fd: Iommufd): number {
  return fd.must(uapi.IOMMU_IOAS_ALLOC, uapi.iommu_ioas_alloc, {}).out_ioas_id;
}
export function destroy(fd: Iommufd, id: number): Errno | undefined {
  return only(fd.call(uapi.IOMMU_DESTROY, uapi.iommu_destroy, { id }));
}
/** The errno of a call, or nothing. */
export function only(result: object): Errno | undefined {
  return isErrno(result) ? result : undefined;
}
export function map(
  fd: Iommufd,
  ioas_id: number,
  user_va: bigint,
  length: bigint,
  iova?: bigint,
  flags = RW,
): bigint | Errno {
  const fixed = iova === undefined ? 0 : uapi.IOMMU_IOAS_MAP_FIXED_IOVA;
  const out = fd.call(uapi.IOMMU_IOAS_MAP, uapi.iommu_ioas_map, {
    flags: flags | fixed,
    ioas_id,
    user_va,
    length,
    iova: iova ?? 0n,
  });
  return isErrno(out) ? out : out.iova;
}
export function unmap(fd: Iommufd, ioas_id: number, iova: bigint, length: bigint): bigint | Errno {
  const out = fd.call(uapi.IOMMU_IOAS_UNMAP, uapi.iommu_ioas_unmap, { ioas_id, iova, length });
  return isErrno(out) ? out : out.length;
}
export function copy(
  fd: Iommufd,
  ids: { src: number; dst: number },
  src_iova: bigint,
  length: bigint,
  dst_iova?: bigint,
  flags = RW,
): bigint | Errno {
  const out = fd.call(uapi.IOMMU_IOAS_COPY, uapi.iommu_ioas_copy, {
    flags: flags | (dst_iova === undefined ? 0 : uapi.IOMMU_IOAS_MAP_FIXED_IOVA),
    src_ioas_id: ids.src,
    dst_ioas_id: ids.dst,
    length,
    src_iova,
    dst_iova: dst_iova ?? 0n,
  });
  return isErrno(out) ? out : out.dst_iova;
}

/** A test operation: the union member after the call, or the errno. */
export function testOp<F extends Fields>(
  fd: Iommufd,
  op: number,
  id: number,
  member: Struct<F>,
  values: { [K in keyof F]?: View<F>[K & keyof View<F>] } = {},
): View<F> | Errno {
  const u = member.view(new Uint8Array(48));
  for (const [name, value] of Object.entries(values)) {
    (u as unknown as Record<string, unknown>)[name] = value;
  }
  const out = fd.call(test.IOMMU_TEST_CMD, test.iommu_test_cmd, { op, id, u: u.bytes });
  return isErrno(out) ? out : member.view(out.u.slice());
}
export interface MockDomain {
  readonly stdev: number;
  readonly idev: number;
  readonly hwpt: number;
}
export function mockDomain(fd: Iommufd, ptId: number, flags?: number): MockDomain | Errno {
  const op =
    flags === undefined ? test.IOMMU_TEST_OP_MOCK_DOMAIN : test.IOMMU_TEST_OP_MOCK_DOMAIN_FLAGS;
  const out = testOp(fd, op, ptId, test.iommu_test_mock_domain, { dev_flags: flags ?? 0 });
  if (isErrno(out)) return out;
  return { stdev: out.out_stdev_id, idev: out.out_idev_id, hwpt: out.out_hwpt_id };
}
/** The same, when it must work. */
export function mock(fd: Iommufd, ptId: number, flags?: number): MockDomain {
  const made = mockDomain(fd, ptId, flags);
  if (isErrno(made)) throw new Error(`MOCK_DOMAIN: ${made.name}`);
  return made;
}
export function checkMap(fd: Iommufd, hwpt: number, iova: bigint, length: bigint, uptr: bigint) {
  const op = test.IOMMU_TEST_OP_MD_CHECK_MAP;
  return only(testOp(fd, op, hwpt, test.iommu_test_check_map, { iova, length, uptr }));
}
export function checkRefs(fd: Iommufd, uptr: bigint, length: bigint, refs: number) {
  const op = test.IOMMU_TEST_OP_MD_CHECK_REFS;
  return only(testOp(fd, op, 0, test.iommu_test_check_refs, { uptr, length, refs }));
}
export function hwptAlloc(
  fd: Iommufd,
  dev_id: number,
  pt_id: number,
  more: {
    flags?: number;
    data_type?: number;
    data_len?: number;
    data_uptr?: bigint;
    fault_id?: number;
  } = {},
): number | Errno {
  const out = fd.call(uapi.IOMMU_HWPT_ALLOC, uapi.iommu_hwpt_alloc, { dev_id, pt_id, ...more });
  return isErrno(out) ? out : out.out_hwpt_id;
}
