/** What every kernel layer is given instead of globals: time, the event stream, the kernel's release and traits. */
import { Clock } from './clock.ts';
import { NEWEST_RELEASE, type Release } from './kernel-release.ts';
import type { KernelTrait } from './kernel-traits.ts';
import { Trace } from './trace.ts';

/** The kernel around a layer: its traits, its clock, its log and its events. */
export class KernelEnv {
  readonly clock: Clock;
  readonly trace: Trace;
  /** For tables that say since when something is there; all else asks for traits. */
  readonly release: Release;
  readonly #traits: Set<KernelTrait>;
  readonly #warnedOnce = new Set<string>();
  /** Ids of warnings so far, in order: what a test can observe. */
  readonly warnings: string[] = [];
  /** True after something that taints a kernel: noiommu, a Bug. */
  tainted = false;

  constructor(traits: Iterable<KernelTrait> = [], release: Release = NEWEST_RELEASE) {
    this.release = release;
    this.trace = new Trace(() => this.clock.nowNs);
    this.clock = new Clock(this.trace);
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
