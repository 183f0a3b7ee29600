/** What a launcher is told of the run it is to be above: it comes to it as JSON. */
import type { FilterOptions } from '../seccomp/filter.ts';
import type { MountPlan } from '../tree/mount-plan.ts';

/** How a program is started. */
export interface LaunchOptions extends FilterOptions {
  /** SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV: a signal does not restart a call that is being answered. */
  readonly killable: boolean;
  /** The soft limit the program would have had without Node, which raises it. */
  readonly openFilesLimit?: number;
  /** How the launcher comes into a mount namespace; absent with path traps. */
  readonly namespace?: 'unshare' | 'user-namespace';
}

/** Which processes a run lasts for; what is left then is ended. */
export type Wait = 'all' | 'program';

/** What the launcher is told beside the program. */
export interface LauncherOrder extends LaunchOptions {
  readonly wait: Wait;
  /** The directory of the run. */
  readonly temporary: string;
  readonly plan?: MountPlan;
}
