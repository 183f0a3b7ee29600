/** Nested domains of the mock driver: four cache words that can be invalidated, no translation (iommufd.md 5.2). */
import { EINVAL, EOPNOTSUPP, isErrno, type Result, type Status } from '../../base/errno.ts';
import { refuse } from '../../base/refuse.ts';
import { newDomain } from '../../core/map/domain-alloc.ts';
import {
  IOMMU_DOMAIN_NESTED,
  type Domain,
  type DomainOps,
  type UserArray,
  type UserData,
} from '../../core/contract/domain.ts';
import { IOMMU_HWPT_ALLOC_PASID, type ViommuCore } from '../../core/contract/driver.ts';
import { copyStructFromUser } from '../../core/contract/user-data.ts';
import {
  IOMMU_HWPT_DATA_SELFTEST,
  IOMMU_HWPT_INVALIDATE_DATA_SELFTEST,
  IOMMU_TEST_INVALIDATE_FLAG_ALL,
  iommu_hwpt_invalidate_selftest,
  iommu_hwpt_selftest,
} from '../../uapi/iommufd-test.ts';
import { checkNestParent } from './paging.ts';

const IOTLB_WORDS = 4;

/** What the mock driver keeps of a nested domain. */
export class MockNested {
  readonly parent: Domain;
  readonly viommu: ViommuCore | undefined;
  readonly iotlb: number[];
  constructor(parent: Domain, viommu: ViommuCore | undefined, fill: number) {
    this.parent = parent;
    this.viommu = viommu;
    this.iotlb = new Array<number>(IOTLB_WORDS).fill(fill);
  }
}

/** The record of a domain if it is a nested one of a mock driver. */
export function mockNestedOf(domain: Domain): MockNested | undefined {
  return domain.priv instanceof MockNested ? domain.priv : undefined;
}

/**
 * A nested domain, of a parent alone or of a vIOMMU.
 * Errnos: EOPNOTSUPP flags or data type; EINVAL no paging parent, or the data's length.
 */
export function allocNested(
  parent: Domain,
  flags: number,
  data: UserData,
  attachOps: DomainOps,
  viommu?: ViommuCore,
): Result<Domain> {
  if ((flags & ~IOMMU_HWPT_ALLOC_PASID) !== 0) {
    return refuse(EOPNOTSUPP, 'a flag of the allocation is unknown to the mock driver', { flags });
  }
  const rc = checkNestParent(parent);
  if (rc) return rc;
  if (data.type !== IOMMU_HWPT_DATA_SELFTEST) {
    return refuse(EOPNOTSUPP, 'the data is not for the mock driver', { type: data.type });
  }
  const view = copyStructFromUser(data, IOMMU_HWPT_DATA_SELFTEST, iommu_hwpt_selftest, 4);
  if (isErrno(view)) return view;
  return newDomain(parent.core, {
    kind: 'nested',
    type: IOMMU_DOMAIN_NESTED,
    ops: { ...attachOps, cacheInvalidateUser },
    priv: new MockNested(parent, viommu, view.iotlb),
  });
}

/** Entry by entry; what was done before an error stays done. */
function cacheInvalidateUser(domain: Domain, array: UserArray): { done: number; status: Status } {
  const nested = mockNestedOf(domain);
  let done = 0;
  if (!nested || array.type !== IOMMU_HWPT_INVALIDATE_DATA_SELFTEST) {
    return {
      done,
      status: refuse(EINVAL, 'the entries are of another type', { type: array.type }),
    };
  }
  for (; done < array.entryCount; done++) {
    const status = invalidateEntry(nested, array, done);
    if (status) return { done, status };
  }
  return { done, status: undefined };
}

function invalidateEntry(nested: MockNested, array: UserArray, index: number): Status {
  const { size } = iommu_hwpt_invalidate_selftest;
  const bytes = array.entry(index, size, size);
  if (isErrno(bytes)) return bytes;
  const { flags, iotlb_id: word } = iommu_hwpt_invalidate_selftest.view(bytes);
  const rc = checkInvalidation(flags, word, nested.iotlb.length);
  if (rc) return rc;
  zeroWords(nested.iotlb, flags, word);
  return undefined;
}

/** The rules that nested domains and vIOMMUs share. */
export function checkInvalidation(flags: number, word: number, words: number): Status {
  if ((flags & ~IOMMU_TEST_INVALIDATE_FLAG_ALL) !== 0) {
    return refuse(EOPNOTSUPP, 'a flag of the invalidation is unknown', { flags });
  }
  if (word >= words) return refuse(EINVAL, 'there is no such cache word', { word, words });
  return undefined;
}

export function zeroWords(cache: number[], flags: number, word: number): void {
  if ((flags & IOMMU_TEST_INVALIDATE_FLAG_ALL) !== 0) cache.fill(0);
  else cache[word] = 0;
}
