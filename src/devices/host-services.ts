/**
 * What a device model may use of the world outside of the machine: storage and byte streams, by name.
 *
 * Whoever makes the machine gives them (MachineOptions.host). All work is asynchronous for the device and synchronous
 * for the kernel layers: a call returns at once, and its completion runs later, in a turn of the machine.
 */
import { EIO, type Status } from '../base/errno.ts';
import { refuse } from '../base/refuse.ts';

/** How a piece of work ended: EIO when it could not be done. */
export type Completion = (rc: Status<'EIO'>) => void;

/** A disk image, or what behaves like one. Offsets and lengths in bytes; work at the same place is done in order. */
export interface BlockBacking {
  readonly length: bigint;
  readonly isReadOnly: boolean;
  /** `into` is the backing's until it is done. EIO: beyond the end, or it cannot be read. */
  read(at: bigint, into: Uint8Array, done: Completion): void;
  /** `from` is the backing's until it is done, and only read. EIO: beyond the end, or it cannot be written. */
  write(at: bigint, from: Uint8Array, done: Completion): void;
  /** These bytes read as zeros; what held them may be given back. EIO as for write. */
  zero(at: bigint, length: bigint, done: Completion): void;
  /** Done when everything written before is durable. */
  flush(done: Completion): void;
}

/** A byte stream both ways: a terminal, a socket. */
export interface CharBacking {
  /** Send bytes out; they are the backing's until it is done. */
  write(from: Uint8Array, done: Completion): void;
  /** Hear what comes from outside; dispose to stop. The bytes are the receiver's: it may keep them. */
  listen(receive: (bytes: Uint8Array) => void): Disposable;
}

/** As a device sees it. Only what its type said it uses can be asked for; anything else is a Bug of the model. */
export interface HostServices {
  /** The storage of that name. */
  block(name: string): BlockBacking;
  /** The byte stream of that name. */
  chardev(name: string): CharBacking;
}

/** As the machine is given it. */
export interface HostBackings {
  readonly blocks?: ReadonlyMap<string, BlockBacking>;
  readonly chardevs?: ReadonlyMap<string, CharBacking>;
}

/** One thing a device uses of the host, as its type declares it. */
export interface HostNeed {
  readonly kind: 'block' | 'chardev';
  readonly name: string;
}

/** A disk whose blocks are these bytes; its work is done at once. EIO: beyond the end. */
export function blockOf(bytes: Uint8Array): BlockBacking {
  const beyond = (at: bigint, length: bigint): Status<'EIO'> =>
    beyondEnd(BigInt(bytes.length), at, length);
  return {
    length: BigInt(bytes.length),
    isReadOnly: false,
    read(at, into, done) {
      const rc = beyond(at, BigInt(into.length));
      if (!rc) into.set(bytes.subarray(Number(at), Number(at) + into.length));
      done(rc);
    },
    write(at, from, done) {
      const rc = beyond(at, BigInt(from.length));
      if (!rc) bytes.set(from, Number(at));
      done(rc);
    },
    zero(at, length, done) {
      const rc = beyond(at, length);
      if (!rc) bytes.fill(0, Number(at), Number(at + length));
      done(rc);
    },
    flush: (done) => done(undefined),
  };
}

/** EIO: these bytes are not all of a disk of that size. */
export function beyondEnd(size: bigint, at: bigint, length: bigint): Status<'EIO'> {
  if (at >= 0n && at + length <= size) return undefined;
  return refuse(EIO, 'beyond the end of the block device', { at, length, size });
}
