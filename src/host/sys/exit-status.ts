/** Exit statuses of softiommu itself; that of `run` is the program's otherwise. */

/** What was asked could not be done: a mistake in the command line or the machine, or a fault of ours. As with docker run. */
export const STATUS_FAILED = 125;
