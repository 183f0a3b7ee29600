/**
 * Failure injection as a kernel with CONFIG_FAULT_INJECTION offers it (iommufd.md 7.1): fail-nth of each thread, and the
 * switches of /sys/kernel/debug that say which points take part.
 */
import { EINVAL } from '../base/errno.ts';
import { refuse } from '../base/refuse.ts';
import type { KernelEnv } from '../base/kernel-env.ts';
import type { AttrNode, DirNode } from './nodes.ts';
import { dir, writableAttr } from './tree.ts';

/** A switch of debugfs: Y or N. */
interface Switch {
  on: boolean;
}

export class FaultInjection {
  readonly #env: KernelEnv;
  /** Failure points until the next failure, by thread; 0: it has happened, or is off. */
  readonly #left = new Map<number, number>();
  /** Allocations that may sleep are spared, as all of ours may: the default of the kernel. */
  readonly #slabIgnoresWait: Switch = { on: true };
  readonly #logs = new Map([
    ['failslab', 2],
    ['fail_iommufd', 2],
  ]);

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
  /** A thread passes a point where it could fail: 'slab: …' is an allocation. @kernel should_fail_ex */
  shouldFail(tid: number, point: string): boolean {
    const left = this.left(tid);
    const isSlab = point.startsWith('slab:');
    if (left === 0 || (isSlab && this.#slabIgnoresWait.on)) return false;
    this.#left.set(tid, left - 1);
    if (left > 1) return false;
    if (this.#logs.get(isSlab ? 'failslab' : 'fail_iommufd') !== 0) {
      this.#env.log('info', `fault injection: ${point} is made to fail for thread ${tid}`);
    }
    return true;
  }

  /** /proc/PID/task/TID/fail-nth: what is left, and how many more to let pass. */
  failNth(tid: number): AttrNode {
    return {
      ...writableAttr(
        () => `${this.left(tid)}\n`,
        (text) => {
          const nth = Number(/^\d+(?=\s*$)/.exec(text)?.[0] ?? NaN);
          if (!(nth <= 0x7fff_ffff)) return refuse(EINVAL, 'fail-nth is a number', { text });
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
    const verbose = (name: string): AttrNode => this.#verbose(name);
    return {
      failslab: dir(() => ({
        'ignore-gfp-wait': yesNo(this.#slabIgnoresWait),
        verbose: verbose('failslab'),
      })),
      fail_iommufd: dir(() => ({ verbose: verbose('fail_iommufd') })),
    };
  }
  #verbose(name: string): AttrNode {
    return writableAttr(
      () => `${this.#logs.get(name)!}\n`,
      (text) => {
        const level = Number(/^\d+(?=\s*$)/.exec(text)?.[0] ?? NaN);
        if (Number.isNaN(level)) return refuse(EINVAL, 'verbose is a number', { text });
        this.#logs.set(name, level);
        return undefined;
      },
      0o600,
    );
  }
}

function yesNo(state: Switch): AttrNode {
  return writableAttr(
    () => (state.on ? 'Y\n' : 'N\n'),
    (text) => {
      const word = text.trim().toLowerCase();
      if (!['y', 'n', '1', '0'].includes(word)) return refuse(EINVAL, 'Y or N', { text });
      state.on = word === 'y' || word === '1';
      return undefined;
    },
    0o600,
  );
}
