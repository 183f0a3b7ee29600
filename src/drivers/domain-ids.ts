/**
 * The ids that domains have on one IOMMU, in its tables and caches: one a domain, shared by everything of the IOMMU that is
 * attached to it (formats.md 7).
 */
import { Bug } from '../base/bug.ts';
import { ENOSPC, type Status } from '../base/errno.ts';
import { refuse } from '../base/refuse.ts';

/** `D` is what a driver keeps of a domain. */
export class DomainIds<D> {
  readonly #unit: string;
  readonly #first: number;
  readonly #end: number;
  readonly #byDomain = new Map<D, { readonly id: number; users: number }>();
  readonly #taken = new Set<number>();

  /** Of the IOMMU called `unit`: from `first` to below `end`. */
  constructor(unit: string, first: number, end: number) {
    this.#unit = unit;
    this.#first = first;
    this.#end = end;
  }

  /** How many are taken. */
  get size(): number {
    return this.#taken.size;
  }
  /** Undefined: nothing here is attached to the domain. */
  of(domain: D): number | undefined {
    return this.#byDomain.get(domain)?.id;
  }

  /** Something is to be attached to the domain. ENOSPC: it has no id yet, and all are taken. */
  take(domain: D): Status<'ENOSPC'> {
    const known = this.#byDomain.get(domain);
    if (known !== undefined) {
      known.users++;
      return undefined;
    }
    for (let id = this.#first; id < this.#end; id++) {
      if (this.#taken.has(id)) continue;
      this.#taken.add(id);
      this.#byDomain.set(domain, { id, users: 1 });
      return undefined;
    }
    return refuse(ENOSPC, 'every domain id of the unit is taken', { unit: this.#unit });
  }
  /** It is no longer; the last one gives the id back. */
  release(domain: D): void {
    const known = this.#byDomain.get(domain);
    if (known === undefined) throw new Bug(`a domain without an id on ${this.#unit} is released`);
    if (--known.users > 0) return;
    this.#taken.delete(known.id);
    this.#byDomain.delete(domain);
  }
}
