/** States that only a mistake in softiommu can reach. Nothing catches a Bug but the loop that answers EIO and reports it. */
export class Bug extends Error {
  override name = 'Bug';
}

/** The kernel's BUG_ON(): throws a Bug when the condition holds. */
export function bugOn(condition: boolean, message: string): asserts condition is false {
  if (condition) throw new Bug(message);
}
