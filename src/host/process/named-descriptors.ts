/**
 * The descriptors of a process by what they are open on, as the text of their links says: looked at once a call of a
 * program, however many mappings it is about.
 *
 * What another thread opens or closes meanwhile is not seen, as if it had done so before or after the call. What a
 * descriptor is taken for is looked at again by whoever opens it.
 */
import { descriptorsOf } from '../sys/procfs.ts';

/** A call that looks at more would hold up all the others. */
export const MOST_DESCRIPTORS = 1 << 14;

/** What is said of it, once. */
export const TOO_MANY_DESCRIPTORS = `a program has more than ${MOST_DESCRIPTORS} descriptors: shared memory that only a later one is open on is reached through the processes that map it`;

export type Descriptors = (pid: number) => Iterable<{ readonly fd: string; readonly link: string }>;

/** The kernel thread serves one run at a time, and one call. */
export class NamedDescriptors {
  readonly #look: Descriptors;
  readonly #byName = new Map<string, string[]>();
  #pid: number | undefined;
  #tooMany: (() => void) | undefined;
  #inCall = false;

  constructor(look: Descriptors = descriptorsOf) {
    this.#look = look;
  }
  /** A run begins; `tooMany` is told each time a process has more than are looked at. */
  begin(tooMany: () => void): void {
    this.callEnds();
    this.#tooMany = tooMany;
  }
  of(pid: number, name: string): readonly string[] {
    if (!this.#inCall || this.#pid !== pid) this.#lookAt(pid);
    return this.#byName.get(name) ?? [];
  }
  callBegins(): void {
    this.#drop();
    this.#inCall = true;
  }
  /** From now on each look is one of its own. */
  callEnds(): void {
    this.#drop();
    this.#inCall = false;
  }
  #drop(): void {
    this.#pid = undefined;
    this.#byName.clear();
  }
  #lookAt(pid: number): void {
    this.#drop();
    let count = 0;
    for (const { fd, link } of this.#look(pid)) {
      if (++count > MOST_DESCRIPTORS) {
        this.#tooMany?.();
        break;
      }
      const same = this.#byName.get(link);
      if (same) same.push(fd);
      else this.#byName.set(link, [fd]);
    }
    this.#pid = pid;
  }
}

export const namedDescriptors = new NamedDescriptors();
