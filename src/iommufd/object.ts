/**
 * Objects of one iommufd by id: reserved, then published; looked up by kind; counted by their users (iommufd.md 1.5-1.8).
 */
import { bugOn } from '../base/bug.ts';
import { EBUSY, ENOENT, ENOMEM, isErrno, type Result, type Status } from '../base/errno.ts';
import type { FailPolicy } from '../base/fail-points.ts';
import { IdTable } from '../base/id-table.ts';
import type { Refs } from '../base/refs.ts';
import { refuse } from '../base/refuse.ts';

/** What has an id. A published object has one user, the table; every holder adds one. */
export abstract class IommufdObject {
  id = 0;
  users = 1;
  /** Undo what making it did; the id is given back by the table. Also for objects that never got published. */
  abstract destroy(): void;
}

/** The kind of an object, and its name in refusals. */
export type ObjectKind<T extends IommufdObject> = (abstract new (...args: never[]) => T) & {
  readonly kind: string;
};

/** What a table asks of its kernel: what is made to fail, and what objects are called in events. */
export interface ObjectEnv extends FailPolicy {
  readonly refs: Refs;
}

/** Every object of one iommufd. */
export class ObjectTable {
  readonly #ids = new IdTable<IommufdObject>();
  readonly #reserved = new Set<IommufdObject>();
  readonly #env: ObjectEnv;
  readonly #owner: string;

  /** `owner`: the number of the iommufd, which the ids in events begin with. */
  constructor(env: ObjectEnv, owner: string) {
    this.#env = env;
    this.#owner = owner;
  }

  /** Give the object an id that is not found yet: publish or abort follows. */
  reserve(object: IommufdObject): Status<'ENOSPC' | 'ENOMEM'> {
    if (this.#env.fails('object'))
      return refuse(ENOMEM, 'the allocation was made to fail', {
        iommufd: this.#owner,
      });
    const id = this.#ids.reserve();
    if (isErrno(id)) return id;
    object.id = id;
    this.#reserved.add(object);
    return undefined;
  }
  publish(object: IommufdObject): void {
    this.#reserved.delete(object);
    this.#ids.publish(object.id, object);
    this.#env.refs.born(object, kindOf(object), this.#nameOf(object));
  }
  /** Undo a reserve: the object is destroyed, the next one gets the same id. */
  abort(object: IommufdObject): void {
    bugOn(object.users !== 1, `object ${object.id} is aborted while somebody uses it`);
    object.destroy();
    this.#reserved.delete(object);
    this.#ids.abort(object.id);
  }

  /** Missing, of another kind, reserved or buried: ENOENT. */
  get<T extends IommufdObject>(id: number, kind: ObjectKind<T>): Result<T, 'ENOENT'> {
    if (this.#env.fails('object-lookup')) {
      return refuse(ENOENT, 'the lookup was made to fail', { id });
    }
    const object = this.#ids.get(id);
    if (object instanceof kind) return object;
    if (object === undefined) return refuse(ENOENT, 'no object has this id', { id });
    return refuse(ENOENT, 'the object of this id is of another kind', { id, wanted: kind.kind });
  }
  /** Any object, for calls that take several kinds; undefined when there is none. */
  lookup(id: number): IommufdObject | undefined {
    return this.#env.fails('object-lookup') ? undefined : this.#ids.get(id);
  }
  has(object: IommufdObject): boolean {
    return this.#ids.get(object.id) === object;
  }
  /** Objects published, reserved or buried. */
  get size(): number {
    return this.#ids.size;
  }
  *all(): IterableIterator<IommufdObject> {
    for (const [, object] of this.#ids.entries()) yield object;
  }

  /** IOMMU_DESTROY's rule: nobody but the table may use it. */
  destroy(object: IommufdObject): Status<'EBUSY'> {
    if (object.users !== 1) {
      return refuse(EBUSY, 'the object is in use', { id: object.id, users: object.users - 1 });
    }
    this.remove(object);
    return undefined;
  }
  /** Destroy by a driver, which knows that nobody else uses it. */
  remove(object: IommufdObject): void {
    bugOn(object.users !== 1, `object ${object.id} is removed while somebody uses it`);
    this.#ids.remove(object.id);
    this.#end(object);
  }
  /** The same, but the id stays taken until close. */
  bury(object: IommufdObject): void {
    bugOn(object.users !== 1, `object ${object.id} is buried while somebody uses it`);
    this.#ids.bury(object.id);
    this.#end(object);
  }
  #end(object: IommufdObject): void {
    object.destroy();
    this.#env.refs.gone(object, kindOf(object), this.#nameOf(object));
  }
  #nameOf(object: IommufdObject): string {
    return `${this.#owner}.${object.id}`;
  }

  /** Close: leaves first, until nothing is left. */
  destroyAll(): void {
    for (;;) {
      const objects = [...this.all()];
      if (objects.length === 0) return;
      let progress = false;
      for (const object of objects) {
        if (!this.has(object) || object.users !== 1) continue;
        this.remove(object);
        progress = true;
      }
      bugOn(!progress, 'objects of a closed iommufd hold each other');
    }
  }
}

/** 'IOAS', 'HWPT_PAGING', … */
function kindOf({ constructor }: IommufdObject): string {
  return 'kind' in constructor ? String(constructor.kind) : constructor.name;
}
