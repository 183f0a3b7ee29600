/**
 * Failure injection as a kernel with CONFIG_FAULT_INJECTION offers it (iommufd.md 7.1): fail-nth of each thread, and the
 * switches of /sys/kernel/debug that say which points take part.
 */
import { EINVAL } from '../../base/errno.ts';
import { refuse } from '../../base/refuse.ts';
import type { KernelEnv } from '../../base/kernel-env.ts';
import type { AttrNode, DirNode } from './nodes.ts';
import { dir, writableAttr } from './tree.ts';

/** The kinds of points, and their directories in debugfs. */
type Kind = 'failslab' | 'fail_page_alloc' | 'fail_iommufd';
const KINDS: readonly Kind[] = ['failslab', 'fail_page_alloc', 'fail_iommufd'];

interface Switches {
  /** Allocations that may sleep are spared, as all of ours may: the default of the kernel. */
  ignoresWait: boolean;
  /** 0: failures are not logged. */
  verbose: number;
}

export class FaultInjection {
  readonly #env: KernelEnv;
  /** Failure points until the next failure, by thread; 0: it has happened, or is off. */
  readonly #left = new Map<number, number>();
  readonly #switches: Readonly<Record<Kind, Switches>> = {
    failslab: { ignoresWait: true, verbose: 2 },
    fail_page_alloc: { ignoresWait: true, verbose: 2 },
    fail_iommufd: { ignoresWait: false, verbose: 2 },
  };

  constructor(env: KernelEnv) {
    this.#env = env;
  }

  /** Write to fail-nth. */
  arm(tid: number, nth: number): void {
    if (nth === 0) this.#left.delete(tid);
    else this.#left.set(tid, nth);
  }
  left(tid: number): number {
    return this.#left.get(tid) ?? 0;
  }
  /** A thread passes a point where it could fail; 'slab: …' and 'page: …' are allocations. @kernel should_fail_ex */
  shouldFail(tid: number, point: string): boolean {
    const left = this.left(tid);
    if (left === 0) return false;
    const { ignoresWait, verbose } = this.#switches[kindOf(point)];
    if (ignoresWait) return false;
    this.#left.set(tid, left - 1);
    if (left > 1) return false;
    if (verbose > 0) {
      this.#env.log('info', `fault injection: '${point}' is made to fail for thread ${tid}`);
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
    return Object.fromEntries(KINDS.map((kind) => [kind, this.#directory(kind)]));
  }
  #directory(kind: Kind): DirNode {
    const switches = this.#switches[kind];
    const spares = kind === 'fail_iommufd' ? undefined : ignoreWait(switches);
    return dir(() => ({ 'ignore-gfp-wait': spares, verbose: verbosity(switches) }));
  }
}

function kindOf(point: string): Kind {
  if (point.startsWith('slab:')) return 'failslab';
  return point.startsWith('page:') ? 'fail_page_alloc' : 'fail_iommufd';
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
