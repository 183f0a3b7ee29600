/**
 * Locks that never wait: one turn is one critical section, so they only check.
 *
 * Taking a lock twice is the deadlock the kernel would have; taking one against the order of LOCK_ORDER is
 * the deadlock it could have. Both are Bugs.
 */
import { bugOn } from './bug.ts';

/** Outermost first; see docs/concurrency.md. A lock may only be taken under locks that stand above it. */
export const LOCK_ORDER = [
  'iommu_probe_device_lock',
  'vfio_group.group_lock',
  'vfio_container.group_lock',
  'vfio_device_set.lock',
  'vfio_iommu.lock',
  'iommufd_ioas.mutex',
  'iommufd_group.lock',
  'iommu_sva_lock',
  'iommu_group.mutex',
  'iopt.domains_rwsem',
  'iopt.iova_rwsem',
  'iopt_pages.mutex',
  'iommufd_viommu.lock',
  'iopf_queue.lock',
  'driver',
] as const;
export type LockClass = (typeof LOCK_ORDER)[number];

const held: Lock[] = [];

export class Lock implements Disposable {
  readonly name: LockClass;
  readonly order: number;
  constructor(name: LockClass) {
    this.name = name;
    this.order = LOCK_ORDER.indexOf(name);
  }
  /** Usage: `using _ = group.mutex.hold();` */
  hold(): Disposable {
    const top = held.length > 0 ? held[held.length - 1] : undefined;
    if (top !== undefined && top.order >= this.order) {
      bugOn(held.includes(this), `${this.name}: taken twice (the kernel would deadlock)`);
      bugOn(
        top.order > this.order,
        `${this.name}: taken under ${top.name}, against the lock order`,
      );
    }
    held.push(this);
    return this;
  }
  get isHeld(): boolean {
    return held.includes(this);
  }
  assertHeld(): void {
    bugOn(!held.includes(this), `${this.name}: not held`);
  }
  [Symbol.dispose](): void {
    bugOn(held.pop() !== this, `${this.name}: released out of order`);
  }
}

/** Drop every lock after a Bug ended a call: only the loop that reports the Bug calls this. */
export function abandonLocks(): string[] {
  return held.splice(0).map((lock) => lock.name);
}
