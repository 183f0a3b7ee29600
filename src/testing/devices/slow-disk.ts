/** A disk whose work ends when a test says so, and how a test says. */
import type { Status } from '../../base/errno.ts';
import {
  blockOf,
  type BlockBacking,
  type BlockErrors,
  type Completion,
} from '../../devices/host-services.ts';

/** A disk over bytes. */
export class SlowDisk implements BlockBacking {
  readonly bytes: Uint8Array;
  readonly length: bigint;
  isReadOnly = false;
  /** What is under way, oldest first: 'read', 'write', 'zero', 'flush'. */
  readonly underWay: {
    readonly what: string;
    readonly end: (failed?: Status<BlockErrors>) => void;
  }[] = [];
  readonly #disk: BlockBacking;

  constructor(length: number) {
    this.bytes = new Uint8Array(length);
    this.#disk = blockOf(this.bytes);
    this.length = BigInt(length);
  }
  read(at: bigint, into: Uint8Array, done: Completion): void {
    this.#add('read', done, (end) => this.#disk.read(at, into, end));
  }
  write(at: bigint, from: Uint8Array, done: Completion): void {
    this.#add('write', done, (end) => this.#disk.write(at, from, end));
  }
  zero(at: bigint, length: bigint, done: Completion): void {
    this.#add('zero', done, (end) => this.#disk.zero(at, length, end));
  }
  flush(done: Completion): void {
    this.#add('flush', done, (end) => end(undefined));
  }
  /** The oldest piece of work ends: as it would, or failed. */
  end(failed?: Status<BlockErrors>): void {
    this.underWay.shift()!.end(failed);
  }

  #add(what: string, done: Completion, work: (done: Completion) => void): void {
    const end = (failed?: Status<BlockErrors>): void => (failed ? done(failed) : work(done));
    this.underWay.push({ what, end });
  }
}
