/**
 * What every kernel layer is given instead of globals: time, the event stream, the kernel's release and traits, whose call
 * it is in and whether that call is to fail here.
 */
import { Clock } from './clock.ts';
import { NOTHING_FAILS, type FailPoint, type FailPolicy } from './fail-points.ts';
import { NEWEST_RELEASE, type Release } from './kernel-release.ts';
import type { KernelTrait } from './kernel-traits.ts';
import { Refs } from './refs.ts';
import type { Task } from './task.ts';
import { Trace } from './trace.ts';

/** The kernel around a layer: its traits, its clock, its log and its events. */
export class KernelEnv {
  readonly clock: Clock;
  readonly trace: Trace;
  /** What objects are called in events. */
  readonly refs: Refs;
  /** For tables that say since when something is there; all else asks for traits. */
  readonly release: Release;
  readonly #traits: Set<KernelTrait>;
  readonly #faults: FailPolicy;
  #current: Task | undefined;
  readonly #warnedOnce = new Set<string>();
  /** Ids of warnings so far, in order: what a test can observe. */
  readonly warnings: string[] = [];
  /** The ways programs have set up to DMA so far, for those who explain: 'type1v2', 'cdev and iommufd'. */
  readonly backends = new Set<string>();
  /** True after something that taints a kernel: noiommu, a Bug. */
  tainted = false;

  constructor(
    traits: Iterable<KernelTrait> = [],
    release: Release = NEWEST_RELEASE,
    faults: FailPolicy = NOTHING_FAILS,
  ) {
    this.release = release;
    this.#faults = faults;
    this.trace = new Trace(() => this.clock.nowNs);
    this.clock = new Clock(this.trace);
    this.refs = new Refs(this.trace);
    this.#traits = new Set(traits);
  }
  /** Does this kernel have the trait? */
  has(trait: KernelTrait): boolean {
    return this.#traits.has(trait);
  }
  /** For module parameters that can be written while the kernel runs. */
  setTrait(trait: KernelTrait, on: boolean): void {
    if (on) this.#traits.add(trait);
    else this.#traits.delete(trait);
  }
  /** Whose call is going on; undefined in a timer and at boot. @kernel current */
  get current(): Task | undefined {
    return this.#current;
  }
  /** Run a call of a task, or with undefined what is nobody's. */
  runAs<T>(task: Task | undefined, run: () => T): T {
    const outer = this.#current;
    this.#current = task;
    try {
      return run();
    } finally {
      this.#current = outer;
    }
  }
  /** Is the current call made to fail here? */
  fails(point: FailPoint): boolean {
    return this.#faults.fails(point, this.#current);
  }
  /** The kernel's WARN_ON(): `id` is the stable name of core.md 11.1. */
  warn(id: string, text: string): void {
    this.warnings.push(id);
    this.trace.emit({ kind: 'warn', id, text });
  }
  /** A warning that is printed once per key. */
  warnOnce(id: string, text: string): void {
    if (this.#warnedOnce.has(id)) return;
    this.#warnedOnce.add(id);
    this.warn(id, text);
  }
  /** A line of the kernel log. */
  log(level: 'err' | 'warn' | 'info', text: string): void {
    this.trace.emit({ kind: 'log', level, text });
  }
}
