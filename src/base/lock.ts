/**
 * Locks that never wait: one turn is one critical section, so they only check.
 *
 * Taking a lock twice is the deadlock the kernel would have; taking one against the order of LOCK_ORDER is
 * the deadlock it could have. Both are Bugs.
 */
import { Bug, bugOn } from './bug.ts';

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
/** The kind of a lock, which says its place in the order of locking. */
export type LockClass = (typeof LOCK_ORDER)[number];

const held: Lock[] = [];

/** A mutex that checks and never waits; taking it twice or out of order is a Bug. @kernel mutex, lockdep */
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
    this.release();
  }
  /** The same as leaving `using`; on hot paths: `lock.hold(); try { … } finally { lock.release(); }` */
  release(): void {
    if (held.pop() !== this) throw new Bug(`${this.name}: released out of order`);
  }
}

/** How many locks are held now: a callback must come back with as many as it was called with. */
export function locksHeld(): number {
  return held.length;
}

/**
 * Drop every lock but the outermost `keep`, after a Bug ended a call. Only the loop that reports the Bug calls this,
 * and whoever catches a driver that keeps a lock.
 */
export function abandonLocks(keep = 0): string[] {
  return held.splice(keep).map((lock) => lock.name);
}
