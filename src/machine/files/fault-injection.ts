/**
 * Failure injection as a kernel with CONFIG_FAULT_INJECTION offers it (iommufd.md 7.1): fail-nth of each thread, and the
 * switches of /sys/kernel/debug that say which points take part.
 */
import { EINVAL } from '../../base/errno.ts';
import { refuse } from '../../base/refuse.ts';
import {
  FAIL_KINDS,
  FAIL_POINTS,
  type FailKind,
  type FailPoint,
  type FailPolicy,
} from '../../base/fail-points.ts';
import type { Task } from '../../base/task.ts';
import type { AttrNode, DirNode } from './nodes.ts';
import { dir, writableAttr } from './tree.ts';

interface Switches {
  /** Allocations that may sleep are spared, as all of ours may: the default of the kernel. */
  ignoresWait: boolean;
  /** 0: failures are not logged. */
  verbose: number;
}

/** Says of each thread which point it passes is the one that fails. */
export class FaultInjection implements FailPolicy {
  readonly #log: (text: string) => void;
  /** Failure points until the next failure, by thread; 0: it has happened, or is off. */
  readonly #left = new Map<number, number>();
  readonly #switches: Readonly<Record<FailKind, Switches>> = {
    failslab: { ignoresWait: true, verbose: 2 },
    fail_page_alloc: { ignoresWait: true, verbose: 2 },
    fail_iommufd: { ignoresWait: false, verbose: 2 },
  };

  /** `log`: a line of the kernel log. */
  constructor(log: (text: string) => void) {
    this.#log = log;
  }

  /** Write to fail-nth. */
  arm(tid: number, nth: number): void {
    if (nth === 0) this.#left.delete(tid);
    else this.#left.set(tid, nth);
  }
  left(tid: number): number {
    return this.#left.get(tid) ?? 0;
  }
  fails(point: FailPoint, current?: Task): boolean {
    const left = current ? this.left(current.tid) : 0;
    if (!current || left === 0) return false;
    const { kind, what } = FAIL_POINTS[point];
    const { ignoresWait, verbose } = this.#switches[kind];
    if (ignoresWait) return false;
    this.#left.set(current.tid, left - 1);
    if (left > 1) return false;
    if (verbose > 0) {
      this.#log(`fault injection: ${kind}: ${what} is made to fail for thread ${current.tid}`);
    }
    return true;
  }

  /** /proc/PID/task/TID/fail-nth: what is left, and how many more to let pass. */
  failNth(tid: number): AttrNode {
    return {
      ...writableAttr(
        () => `${this.left(tid)}\n`,
        (text) => {
          const nth = wholeNumber(text);
          if (nth === undefined) return refuse(EINVAL, 'fail-nth is a number', { text });
          this.arm(tid, nth);
          return undefined;
        },
        0o644,
      ),
      live: true,
    };
  }

  /** Of /sys/kernel/debug. */
  directories(): Record<string, DirNode> {
    return Object.fromEntries(FAIL_KINDS.map((kind) => [kind, this.#directory(kind)]));
  }
  #directory(kind: FailKind): DirNode {
    const switches = this.#switches[kind];
    const spares = kind === 'fail_iommufd' ? undefined : ignoreWait(switches);
    return dir(() => ({ 'ignore-gfp-wait': spares, verbose: verbosity(switches) }));
  }
}

function verbosity(switches: Switches): AttrNode {
  return writableAttr(
    () => `${switches.verbose}\n`,
    (text) => {
      const level = wholeNumber(text);
      if (level === undefined) return refuse(EINVAL, 'verbose is a number', { text });
      switches.verbose = level;
      return undefined;
    },
    0o600,
  );
}
function ignoreWait(switches: Switches): AttrNode {
  return writableAttr(
    () => (switches.ignoresWait ? 'Y\n' : 'N\n'),
    (text) => {
      const word = text.trim().toLowerCase();
      if (!['y', 'n', '1', '0'].includes(word)) {
        return refuse(EINVAL, 'the switch is Y or N', { text });
      }
      switches.ignoresWait = word === 'y' || word === '1';
      return undefined;
    },
    0o600,
  );
}
/** What fits an int. */
function wholeNumber(text: string): number | undefined {
  const digits = /^\d+(?=\s*$)/.exec(text)?.[0];
  const value = Number(digits ?? NaN);
  return value <= 0x7fff_ffff ? value : undefined;
}
