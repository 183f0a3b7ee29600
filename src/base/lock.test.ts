import { expect, test } from 'vitest';
import { abandonLocks, Lock } from './lock.ts';

test('a lock is held in its scope and only there', () => {
  const group = new Lock('iommu_group.mutex');
  {
    using _ = group.hold();
    group.assertHeld();
    expect(group.isHeld).toBe(true);
  }
  expect(() => group.assertHeld()).toThrow('not held');
});
test('taking a lock twice is the deadlock the kernel would have', () => {
  const group = new Lock('iommu_group.mutex');
  using _ = group.hold();
  expect(() => group.hold()).toThrow('taken twice');
});
test('taking a lock against the order is a bug', () => {
  const iova = new Lock('iopt.iova_rwsem');
  const group = new Lock('iommu_group.mutex');
  using _ = iova.hold();
  expect(() => group.hold()).toThrow('against the lock order');
});
test('two locks of one class nest, as two groups do not in the kernel, only when they differ', () => {
  const one = new Lock('iommufd_ioas.mutex');
  const two = new Lock('iommufd_ioas.mutex');
  using _a = one.hold();
  using _b = two.hold();
  expect(() => one.hold()).toThrow('taken twice');
});
test('after a Bug every lock can be abandoned', () => {
  const group = new Lock('iommu_group.mutex');
  group.hold();
  expect(abandonLocks()).toEqual(['iommu_group.mutex']);
  expect(group.isHeld).toBe(false);
});
