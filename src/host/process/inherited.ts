/**
 * What a child has of its parent, as it was at the fork, where only we know it: limits and capabilities of the simulated
 * machine. Nobody sees a fork. So before what a process has changes, or the process ends, all below it are told theirs.
 *
 * One whose parent was killed, and that has not been told before, has what all began with.
 */
import { birthOf, isWithin, parentOf, processIds } from '../sys/procfs.ts';

/** A number may be another process's by now: with its beginning it is this one's. */
interface Told<T> {
  readonly value: T;
  readonly began: string;
}

/** A value of each process of a run. */
export class Inherited<T> {
  readonly #first: T;
  readonly #above: number;
  readonly #told = new Map<number, Told<T>>();

  /** `above`: the process that all of the run are below. */
  constructor(first: T, above: number) {
    this.#first = first;
    this.#above = above;
  }

  of(pid: number): T {
    if (this.#told.size === 0) return this.#first;
    const known = this.#known(pid);
    if (known) return known.value;
    const parent = parentOf(pid);
    const isTop = parent === undefined || parent <= 1 || parent === this.#above;
    return isTop ? this.#first : this.of(parent);
  }
  set(pid: number, value: T): void {
    this.#tellChildren(pid);
    this.#tell(pid, value);
  }
  /** A process ends: its children will have another parent. */
  ending(pid: number): void {
    if (this.#told.size > 0) this.#tellChildren(pid);
  }
  /** The process has ended. */
  forget(pid: number): void {
    this.#told.delete(pid);
  }
  isOfRun(pid: number): boolean {
    return isWithin(pid, this.#above);
  }

  #tell(pid: number, value: T): void {
    const began = birthOf(pid)?.began;
    if (began !== undefined) this.#told.set(pid, { value, began });
  }
  #known(pid: number): Told<T> | undefined {
    const told = this.#told.get(pid);
    return told?.began === birthOf(pid)?.began ? told : undefined;
  }
  #tellChildren(above: number): void {
    const children = childrenByParent();
    const todo = [{ pid: above, value: this.of(above) }];
    for (let at = todo.pop(); at; at = todo.pop()) {
      for (const pid of children.get(at.pid) ?? []) {
        const known = this.#known(pid);
        if (!known) this.#tell(pid, at.value);
        todo.push({ pid, value: known ? known.value : at.value });
      }
    }
  }
}

function childrenByParent(): ReadonlyMap<number, readonly number[]> {
  const children = new Map<number, number[]>();
  for (const pid of processIds()) {
    const parent = parentOf(pid);
    if (parent === undefined) continue;
    const siblings = children.get(parent);
    if (siblings) siblings.push(pid);
    else children.set(parent, [pid]);
  }
  return children;
}
