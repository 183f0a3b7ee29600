/** Exit statuses of softiommu itself; that of `run` is the program's otherwise. */

/** What was asked could not be done: a mistake in the command line or the machine, or a fault of ours. As with docker run. */
export const STATUS_FAILED = 125;
/** An exploration has found something. */
export const STATUS_FOUND = 1;
/** A command of many runs was stopped: as a shell shows death by SIGINT. */
export const STATUS_STOPPED = 130;
