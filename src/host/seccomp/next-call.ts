/**
 * From one answer to the next call in one crossing (sys/steps.ts): the last answer is sent, something is ready, it is a
 * call and nothing else, it is received, and no close has come before it. A list that ends earlier says how far it came.
 *
 * Together with process/call-look.ts this took a trapped ioctl from 1.8 to 1.3 times what it takes a supervisor in C.
 */
import { HOST_ERRNO, NR } from '../sys/numbers.ts';
import { Steps } from '../sys/steps.ts';
import { LISTENER } from '../sys/listener-ioctls.ts';
import type { CallBytes } from './notification.ts';
import { TurnWait } from './turn-wait.ts';

/** How far the list came: a call with nothing before it, a call that others came before or with, or what a poll has found. */
export type NextFound = 'call' | 'late call' | 'gone' | number;

/** The list of one listener. */
export class NextCall {
  readonly #steps = new Steps(9);
  readonly #send: number;
  readonly #isSent: number;
  readonly #poll: number;
  readonly #receive: number;
  readonly #isReceived: number;
  #request: CallBytes | undefined;

  /** `response`: the bytes of the answer that is sent. */
  constructor(listener: number, response: Uint8Array, wait: TurnWait) {
    const steps = this.#steps;
    this.#send = steps.call(NR.ioctl, listener, LISTENER.send, response);
    this.#isSent = steps.expect(this.#send, 0);
    this.#poll = steps.call(NR.poll, wait.entries, 2, 0);
    steps.expect(this.#poll, 1);
    steps.check(wait.listenerEvents, 0xffff_ffff, TurnWait.aCall);
    this.#receive = steps.call(NR.ioctl, listener, LISTENER.receive, 0);
    this.#isReceived = steps.expect(this.#receive, 0);
    // The call that was seen may be gone, and this another one: only what is ready after it came is not before it.
    const closes = steps.call(NR.poll, wait.closes, 1, 0);
    steps.expect(closes, 0);
  }

  /** Send what is in the response if there is something, wait so many milliseconds, and receive into `request`. */
  run(isAnswered: boolean, timeoutMs: number, request: CallBytes): NextFound {
    const steps = this.#steps;
    if (this.#request !== request) {
      this.#request = request;
      steps.set(this.#receive, 2, request.bytes);
    }
    steps.set(this.#poll, 2, timeoutMs);
    let ended = steps.run(isAnswered ? this.#send : this.#poll);
    while (ended === this.#isSent) {
      // A stop of a program is a signal to us. Any other refusal: the caller is gone.
      const again = steps.result(this.#send) === -HOST_ERRNO.EINTR;
      ended = steps.run(again ? this.#send : this.#poll);
    }
    if (ended === steps.end) return 'call';
    if (ended > this.#isReceived) return 'late call';
    return ended === this.#isReceived ? 'gone' : steps.result(this.#poll);
  }
}
