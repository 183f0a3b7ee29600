/**
 * Signals that programs of the run send to process groups: softiommu is in the group of its program, and is hit as well. The kernel
 * thread notes each before it is sent, the main thread asks when one has come.
 */
const NOTES = 64;
const WORDS = 2;
const FIRST = 1;

/** Who has sent what of late: written by the kernel thread, read by the main one. */
export class GroupSignals {
  readonly shared: SharedArrayBuffer;
  readonly #words: Int32Array;

  /** `shared`: of the notes that another thread has made. */
  constructor(
    shared = new SharedArrayBuffer((FIRST + NOTES * WORDS) * Int32Array.BYTES_PER_ELEMENT),
  ) {
    this.shared = shared;
    this.#words = new Int32Array(shared);
  }
  /** A process is about to send it. */
  note(pid: number, signal: number): void {
    if (this.isNoted(pid, signal)) return;
    const at = FIRST + (Atomics.add(this.#words, 0, 1) % NOTES) * WORDS;
    Atomics.store(this.#words, at, pid);
    Atomics.store(this.#words, at + 1, signal);
  }
  /** Has a process sent it to a group? */
  isNoted(pid: number, signal: number): boolean {
    for (let at = FIRST; at < this.#words.length; at += WORDS) {
      if (this.#words[at] === pid && this.#words[at + 1] === signal) return true;
    }
    return false;
  }
}
