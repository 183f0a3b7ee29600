/** One buffer for the bytes of one transfer after the other. */

/** A new one for each MiB is cleared, and its pages are new as well: a copy of 1 MiB takes two to four times as long. */
export class Scratch {
  #bytes = new Uint8Array(0);

  /** Until it is asked the next time. What it holds is of earlier transfers: what was not moved is not to be looked at. */
  take(length: number): Uint8Array {
    if (this.#bytes.length < length) this.#bytes = new Uint8Array(length);
    return this.#bytes.subarray(0, length);
  }
}
