/** What becomes of the loop's work when softiommu is out of descriptors, memory or space: said once, and tried again. */
import { Shortage } from '../../base/shortage.ts';
import { orShortage, shortageOf } from '../sys/shortage.ts';

/** Calls end with the errno of a shortage; what no caller waits for waits for its end. */
export class Shortages {
  readonly #say: (text: string) => void;
  readonly #postponed: (() => void)[] = [];

  /** `say`: a line for the user, once. */
  constructor(say: (text: string) => void) {
    this.#say = say;
  }
  /** The answer to a call that has ended with an exception; undefined: it was no shortage. */
  answer(error: unknown): number | undefined {
    const shortage = shortageOf(error);
    return shortage && this.answerTo(shortage);
  }
  /** The answer to a call that has ended with this one. */
  readonly answerTo = ({ errno, message }: Shortage): number => {
    this.#say(message);
    return -errno.number;
  };
  /** What every turn does anyhow, or until it is done. False: not this time. */
  ifEnough(attempt: () => void): boolean {
    const shortage = orShortage(attempt);
    if (!(shortage instanceof Shortage)) return true;
    this.#say(shortage.message);
    return false;
  }
  /** What comes once. */
  untilEnough(attempt: () => void): void {
    if (!this.ifEnough(attempt)) this.#postponed.push(attempt);
  }

  /** There is work that has had to wait. */
  get any(): boolean {
    return this.#postponed.length > 0;
  }
  /** Each piece of it once more. */
  retry(): void {
    for (const attempt of this.#postponed.splice(0)) this.untilEnough(attempt);
  }
}
