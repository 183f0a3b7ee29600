/**
 * What a device model may use of the world outside of it: storage, byte streams and wires, by name.
 *
 * Whoever makes the machine gives them (MachineOptions.host). All work is asynchronous for the device and synchronous
 * for the kernel layers: a call returns at once, and its completion runs later, in a turn of the machine.
 */
import { EIO, type Status } from '../base/errno.ts';
import { refuse } from '../base/refuse.ts';

/** Why a piece of work could not be done: it failed, or no space is left for it. */
export type BlockErrors = 'EIO' | 'ENOSPC';
/** How a piece of work ended. */
export type Completion = (rc: Status<BlockErrors>) => void;

/** A disk image, or what behaves like one. Offsets and lengths in bytes; work at the same place is done in order. */
export interface BlockBacking {
  readonly length: bigint;
  readonly isReadOnly: boolean;
  /** `into` is the backing's until it is done. EIO: beyond the end, or it cannot be read. */
  read(at: bigint, into: Uint8Array, done: Completion): void;
  /**
   * `from` is the backing's until it is done, and only read. EIO: beyond the end, or it cannot be written. ENOSPC: the
   * host has no space for it.
   */
  write(at: bigint, from: Uint8Array, done: Completion): void;
  /** These bytes read as zeros; what held them may be given back. EIO, ENOSPC: as for write. */
  zero(at: bigint, length: bigint, done: Completion): void;
  /** Done when everything written before is durable. */
  flush(done: Completion): void;
  /** Of storage that is a part of the machine: what is stored, a copy. Absent: it outlives the machine. */
  state?(): object;
  /** What state() has given, and nothing else. */
  restore?(state: object): void;
}

/** A byte stream both ways: a terminal, a socket. */
export interface CharBacking {
  /** Send bytes out; they are the backing's until it is done. */
  write(from: Uint8Array, done: Completion): void;
  /** Hear what comes from outside; dispose to stop. The bytes are the receiver's: it may keep them. */
  listen(receive: (bytes: Uint8Array) => void): Disposable;
}

/** What a plug hears of the wire that is in it. */
export interface WireReceiver {
  /** What all its transfers have cost so far (DeviceDma.work): of many frames some then wait for the next turn. */
  readonly work?: number;
  /**
   * Frames have come, in order; `lost` more have not, because too many were waiting. The frames are the receiver's to
   * keep, and not to change: a wire may bring the same bytes to several.
   */
  receive(frames: readonly Uint8Array[], lost: number): void;
  /** The other end has become alive, or dead. */
  carrier(alive: boolean): void;
}

/** Frames on their way to a plug. */
export interface WireState {
  readonly frames: readonly Uint8Array[];
  /** Those of them that found too many before them. */
  readonly lost: number;
  /** What the device was last told of the carrier, or saw for itself at a reset. */
  readonly carrier: boolean;
}

/**
 * A device's plug of a wire for Ethernet frames: from the destination address to the last byte of the payload, without
 * preamble and checksum, of any length. A frame arrives in a later turn than it was sent in, with those sent together.
 */
export interface Wire {
  /** Is the other end alive? */
  readonly carrier: boolean;
  /** Is this end alive? The other one hears of it. At first it is not, and what comes then is lost. */
  power(alive: boolean): void;
  /** The bytes are the wire's: nobody changes them any more. Without a carrier they are lost. */
  send(frames: readonly Uint8Array[]): void;
  /** One at a time; dispose to stop. */
  listen(receiver: WireReceiver): Disposable;
  /** What is on its way to this end: part of the device's state, since nobody else's. */
  state(): WireState;
  /** As state() gave it; without one nothing is on its way, as after a reset. */
  restore(state?: WireState): void;
}

/** An end of a wire outside of the machine. It may receive, and call back, at any time. */
export interface WireBacking {
  /** Is something there that would answer? */
  readonly carrier: boolean;
  /** The device's end is alive, or dead. */
  power(alive: boolean): void;
  /** Frames from the device; the bytes are only read. */
  send(frames: readonly Uint8Array[]): void;
  /** Hear what comes from outside; dispose to stop. `lost` may be left at 0: the device's own limit is counted. */
  listen(receiver: WireReceiver): Disposable;
}

/** As a device sees it. Only what its type said it uses can be asked for; anything else is a Bug of the model. */
export interface HostServices {
  /** The storage of that name. */
  block(name: string): BlockBacking;
  /** The byte stream of that name. */
  chardev(name: string): CharBacking;
  /**
   * The plug of the wire that the device's option names: 'sink' (alive, and what is sent vanishes), 'self' (what is
   * sent comes back), 'unplugged', the address of another device with a plug, or a name that was given with the machine.
   * Of two devices one may name the other while that one has 'sink'.
   */
  wire(name: string): Wire;
}

/** As the machine is given it. */
export interface HostBackings {
  readonly blocks?: ReadonlyMap<string, BlockBacking>;
  readonly chardevs?: ReadonlyMap<string, CharBacking>;
  readonly wires?: ReadonlyMap<string, WireBacking>;
}

/** One thing a device uses of the host, as its type declares it. */
export interface HostNeed {
  readonly kind: 'block' | 'chardev' | 'wire';
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
