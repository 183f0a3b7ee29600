/**
 * Where an errno is born: it stays a constant, and the reason goes to whoever listens.
 *
 * Every refusal of the kernel layers passes here, so traces, `explain`, and the generated docs/errno.md have one source.
 */
import type { Errno, Status } from './errno.ts';

/** The values a refusal was about. */
export type Facts = Readonly<Record<string, bigint | number | string | boolean>>;

/** An errno with the rule that was broken and the values that broke it. */
export interface Refusal {
  readonly errno: Errno;
  /** The rule that was broken, as a sentence. */
  readonly rule: string;
  readonly facts: Facts;
}

const NO_FACTS: Facts = Object.freeze({});
let listener: ((refusal: Refusal) => void) | undefined;
let observer: ((refusal: Refusal) => void) | undefined;

/** `if (…) return refuse(EINVAL, 'the rule that was broken', { the, values });` */
export function refuse<E extends Errno>(errno: E, rule: string, facts: Facts = NO_FACTS): E {
  if (listener !== undefined || observer !== undefined) {
    const refusal = { errno, rule, facts };
    observer?.(refusal);
    listener?.(refusal);
  }
  return errno;
}

/**
 * Checks in their order: the first that fails decides. Where somebody listens those behind it are made as well and heard before
 * it, so that all that is wrong is known at once; they change nothing, and bear what the first one refuses.
 */
export function firstOf<A, B>(checks: readonly ((a: A, b: B) => Status)[], a: A, b: B): Status {
  for (let n = 0; n < checks.length; n++) {
    const failed = checks[n]!(a, b);
    if (!failed) continue;
    if (listener === undefined || n === checks.length - 1) return failed;
    for (let later = n + 1; later < checks.length; later++) void checks[later]!(a, b);
    return checks[n]!(a, b); // heard last: it is the one that decided
  }
  return undefined;
}

/**
 * Run one call and hand each refusal inside it to `on`: the source of `explain` and of traces. Whoever listens outside
 * hears it too.
 */
export function listening<T>(on: (refusal: Refusal) => void, call: () => T): T {
  const outer = listener;
  listener = outer
    ? (refusal) => {
        on(refusal);
        outer(refusal);
      }
    : on;
  try {
    return call();
  } finally {
    listener = outer;
  }
}

/** Run one call unheard: for tests of compatibility that must not log. */
export function silently<T>(call: () => T): T {
  const outer = listener;
  listener = undefined;
  try {
    return call();
  } finally {
    listener = outer;
  }
}

/**
 * Hear every refusal of this process, whoever else listens, silently() or not: how the test suite learns which rule
 * is tested where. Undefined stops it.
 */
export function observeRefusals(on: ((refusal: Refusal) => void) | undefined): void {
  observer = on;
}
