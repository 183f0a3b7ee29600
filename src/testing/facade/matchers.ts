/**
 * The expectations as matchers: `expect.extend(matchers)`, in vitest and in jest.
 *
 * Their types join those of vitest 4 where a test file says:
 *
 * @example
 * declare module 'vitest' {
 *   interface Matchers<T = any> extends SoftIommuMatchers {}
 * }
 */
import type { ErrnoName } from '../../base/errno.ts';
import type { Machine } from '../../facade/machine.ts';
import {
  faultOutcome,
  refusalOutcome,
  type Judgement,
  type WantedFault,
  type WantedRefusal,
} from './expectations.ts';
import type { TestMachine } from './test-machine.ts';

/** What a matcher answers. */
export interface MatcherResult {
  readonly pass: boolean;
  /** What was found, for the report of a test that fails. */
  message(): string;
}

/** For `expect.extend`. What is expected of is a function: it is called once. */
export const matchers = {
  /** Calling it makes an IOMMU of this machine record a fault like this. */
  toFault(run: unknown, machine: Machine | TestMachine, wanted?: WantedFault): MatcherResult {
    return resultOf(faultOutcome(called(run, 'toFault'), machine, wanted));
  },
  /** Calling it is refused with this errno, because of this rule. */
  toBeRefused(run: unknown, errno?: ErrnoName, wanted?: WantedRefusal): MatcherResult {
    return resultOf(refusalOutcome(called(run, 'toBeRefused'), errno, wanted));
  },
};

/** How the matchers are called, for the types of a test runner; see the head of the file. */
export interface SoftIommuMatchers<R = unknown> {
  /** The call made a DMA that the IOMMU blocked, with what is wanted of the fault. */
  toFault(machine: Machine | TestMachine, wanted?: WantedFault): R;
  /** The call was refused, with this errno and what is wanted of the rule. */
  toBeRefused(errno?: ErrnoName, wanted?: WantedRefusal): R;
}

function resultOf({ pass, message }: Judgement<unknown>): MatcherResult {
  return { pass, message: () => message };
}
function called(run: unknown, matcher: string): () => unknown {
  if (typeof run !== 'function') throw new TypeError(`${matcher} wants a function to call`);
  // cast: it takes nothing that anybody could give it
  return run as () => unknown;
}
