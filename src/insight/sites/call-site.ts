/** Where in a program a call comes from: what a report shows as a stack. The host knows it; a program of the library has none. */

import type { StackFrame } from '../../base/events.ts';

export type { SourceLine, StackFrame } from '../../base/events.ts';

/** One place that calls come from, over all callers on the stack. Equal stacks are one object. */
export interface CallSite {
  /** Innermost first; found out when it is asked for first. */
  readonly frames: readonly StackFrame[];
  /** The call itself was not seen: it is where the newest one of its kind was that was. */
  readonly isEarlier?: true;
}

/** A place, for calls that are not seen any more. */
export function earlierSite(site: CallSite): CallSite {
  return {
    get frames() {
      return site.frames;
    },
    isEarlier: true,
  };
}

/** Knows whose call is going on. */
export interface CallSites {
  /** The place in the program; undefined: the call is nobody's, or its stack cannot be seen. */
  here(): CallSite | undefined;
}
