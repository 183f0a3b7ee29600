/**
 * Objects as events name them: what, which, and since when, so that two that had the same id one after the other are told
 * apart. Nothing is kept or built while nobody listens.
 */

/** What an object is called. */
export interface ObjectName {
  /**
   * A struct of the kernel: 'device', 'domain', 'iommufd', 'process'; in capitals an object of an iommufd, by its kind
   * there: 'IOAS', 'HWPT_PAGING'. 'requester': an id on the bus that no known device has.
   */
  readonly kind: string;
  /** Unique among the living of its kind: '0000:00:04.0', 'paging#3', '1.4' for object 4 of iommufd 1. */
  readonly id: string;
}
/** An object in an event. */
export interface Ref extends ObjectName {
  /** `seq` of its object-born event. Undefined: nobody listened then, or it was there before everything. */
  readonly born: number | undefined;
}

/** An object came to be. Its `seq` is what a Ref to it carries as `born`. */
export interface ObjectBornEvent {
  readonly kind: 'object-born';
  readonly object: ObjectName;
}
/** It is no more. */
export interface ObjectGoneEvent {
  readonly kind: 'object-gone';
  readonly object: Ref;
}

/** What is asked of the event stream. */
export interface Births {
  readonly hears: { readonly 'object-born': boolean; readonly 'object-gone': boolean };
  /** The number of the event. */
  emit(event: ObjectBornEvent | ObjectGoneEvent): number | undefined;
}

/** The names objects have in the events of one machine. */
export class Refs {
  readonly #trace: Births;
  readonly #known = new WeakMap<object, Ref>();
  readonly #same = new WeakMap<object, object>();

  constructor(trace: Births) {
    this.#trace = trace;
  }

  /** An object that came to be. */
  born(object: object, kind: string, id: string): void {
    if (!this.#trace.hears['object-born']) return;
    const born = this.#trace.emit({ kind: 'object-born', object: { kind, id } });
    this.#known.set(object, { kind, id, born });
  }
  /** An object that is no more. */
  gone(object: object, kind: string, id: string): void {
    if (!this.#trace.hears['object-gone']) return;
    this.#trace.emit({ kind: 'object-gone', object: this.of(object, kind, id) });
    this.#known.delete(object);
  }
  /** From now on events name `object` as they name `as`: both are sides of one thing. */
  same(object: object, as: object): void {
    this.#same.set(object, as);
  }
  /** An object in an event that is being built. */
  of(object: object, kind: string, id: string): Ref {
    const named = this.#same.get(object) ?? object;
    let ref = this.#known.get(named);
    if (!ref) {
      ref = { kind, id, born: undefined };
      this.#known.set(named, ref);
    }
    return ref;
  }
}
