/** One reader of a trace that still grows: sends what there is, in whole lines, no faster than it is taken. */
import type { ServerResponse } from 'node:http';
import type { KeptTrace } from '../reports/kept-trace.ts';

/** Bytes read at once; an event is seldom longer than a few hundred. */
const PIECE = 0x4_0000;

/** Sends lines as an event stream. */
export class Follower {
  readonly #response: ServerResponse;
  readonly #trace: Pick<KeptTrace, 'read'>;
  /** Of what has been sent, in bytes of the trace. */
  #sent = 0;
  #isFull = false;

  constructor(response: ServerResponse, trace: Pick<KeptTrace, 'read'>) {
    this.#response = response;
    this.#trace = trace;
    response.on('drain', () => {
      this.#isFull = false;
    });
  }
  /** Send what is new, unless earlier lines are still on their way. True: there is nothing more by now. */
  advance(piece: Buffer = Buffer.allocUnsafe(PIECE)): boolean {
    while (!this.#isFull) {
      const length = this.#trace.read(piece, this.#sent);
      const end = piece.subarray(0, length).lastIndexOf(0x0a) + 1;
      if (end === 0) {
        // A line that is longer than a piece is read in a larger one.
        if (length < piece.length) return true;
        return this.advance(Buffer.allocUnsafe(piece.length * 2));
      }
      this.#send(piece.toString('utf8', 0, end - 1));
      this.#sent += end;
    }
    return false;
  }
  #send(lines: string): void {
    this.#isFull = !this.#response.write(`data: ${lines.replaceAll('\n', '\ndata: ')}\n\n`);
  }
  /** The last that is sent. */
  end(facts: object): void {
    this.#response.end(`event: end\ndata: ${JSON.stringify(facts)}\n\n`);
  }
}
