/**
 * Frames through a descriptor of the host, which never waits: whole ones (a tap, datagrams, SOCK_SEQPACKET), or a stream
 * in which each stands after its length, four bytes big-endian, as in `-netdev stream` of QEMU.
 *
 * What the host does not take at once is lost, as on a wire; a stream finishes the frame it has begun.
 */
import * as libc from '../sys/libc.ts';
import { HOST_ERRNO } from '../sys/numbers.ts';
import { receiveMessage, send } from '../sys/unix-socket.ts';

/** Longer than any frame that there is, with its offloads undone; bytes. */
export const LONGEST_FRAME = 0x1_1000;
/** At one look: others have their turn. */
const MOST_FRAMES = 256;

/** What has come. */
export interface ReceivedFrames {
  readonly frames: readonly Uint8Array[];
  /** Frames that were too long. */
  readonly lost: number;
  /** Nothing comes any more, and why where that is no end as others. */
  readonly ended?: string | true;
}

/** One descriptor with frames. */
export interface FrameChannel {
  readonly fd: number;
  /** Something is left that has to be written when there is room. */
  readonly isFull: boolean;
  /** How many of them were not taken. */
  send(frames: readonly Uint8Array[]): number;
  /** There is room again. */
  flush(): void;
  receive(): ReceivedFrames;
}

/** The other end may be there again, or has no room now. */
const PASSING: ReadonlySet<number> = new Set([
  -HOST_ERRNO.EAGAIN,
  -HOST_ERRNO.EINTR,
  -HOST_ERRNO.ENOBUFS,
  -HOST_ERRNO.ENOMEM,
  -HOST_ERRNO.EMSGSIZE,
]);

/** How whole frames are written and read. */
export interface FrameCalls {
  readonly fd: number;
  readonly write: (frame: Uint8Array) => number;
  readonly read: (into: Uint8Array) => number;
  /** No byte at all is the end. */
  readonly endsWithNothing: boolean;
  /** Results of reads that are no end. */
  readonly passing?: ReadonlySet<number>;
}

const whole = Buffer.alloc(LONGEST_FRAME);

/** Frames that the descriptor keeps apart. */
export class WholeFrames implements FrameChannel {
  readonly fd: number;
  readonly isFull = false;
  readonly #calls: FrameCalls;

  constructor(calls: FrameCalls) {
    this.fd = calls.fd;
    this.#calls = calls;
  }
  send(frames: readonly Uint8Array[]): number {
    return frames.filter((frame) => this.#calls.write(frame) < 0).length;
  }
  flush(): void {
    return;
  }
  receive(): ReceivedFrames {
    const { read, endsWithNothing, passing = PASSING } = this.#calls;
    const frames: Uint8Array[] = [];
    let lost = 0;
    for (let n = 0; n < MOST_FRAMES; n++) {
      const length = read(whole);
      if (length > whole.length) lost++;
      else if (length > 0) frames.push(Uint8Array.from(whole.subarray(0, length)));
      else if (length === 0 ? endsWithNothing : !passing.has(length)) {
        return { frames, lost, ended: true };
      } else if (length < 0) break;
    }
    return { frames, lost };
  }
}

/** A network interface of the kind tap. While it is down nothing goes through it. */
export function tapFrames(fd: number): FrameChannel {
  return new WholeFrames({
    fd,
    write: (frame) => libc.write(fd, frame),
    read: (into) => libc.read(fd, into),
    endsWithNothing: false,
    passing: new Set([...PASSING, -HOST_ERRNO.EIO]),
  });
}
/** Messages of a connection. */
export function packetFrames(fd: number): FrameChannel {
  return new WholeFrames({
    fd,
    write: (frame) => send(fd, frame),
    read: (into) => receiveMessage(fd, into),
    endsWithNothing: true,
  });
}
/** Datagrams: whether somebody is there is not known. */
export function datagramFrames(fd: number, to: Buffer): FrameChannel {
  return new WholeFrames({
    fd,
    write: (frame) => send(fd, frame, to),
    read: (into) => receiveMessage(fd, into),
    endsWithNothing: false,
    passing: new Set([...PASSING, -HOST_ERRNO.ECONNREFUSED, -HOST_ERRNO.ECONNRESET]),
  });
}

/** Bytes of the length before a frame. */
const PREFIX = 4;
/** What is read at once, and so at one look. */
const CHUNK = 0x4_0000;
const chunk = Buffer.alloc(CHUNK);

/** Frames in a stream. */
export class StreamFrames implements FrameChannel {
  readonly fd: number;
  /** Of a frame that has been begun: its bytes that are not written. */
  #left: Uint8Array = new Uint8Array();
  /** Of a frame that has not come whole. */
  #begun: Buffer = Buffer.alloc(0);

  constructor(fd: number) {
    this.fd = fd;
  }
  get isFull(): boolean {
    return this.#left.length > 0;
  }
  send(frames: readonly Uint8Array[]): number {
    this.flush();
    if (this.isFull) return frames.length;
    const bytes = Buffer.concat(
      frames.flatMap((frame) => {
        const prefix = Buffer.alloc(PREFIX);
        prefix.writeUInt32BE(frame.length, 0);
        return [prefix, frame];
      }),
    );
    const written = Math.max(0, send(this.fd, bytes));
    let end = 0;
    for (const [n, frame] of frames.entries()) {
      const begin = end;
      end += PREFIX + frame.length;
      if (end > written) {
        // One that was not begun need not be finished.
        if (begin < written) this.#left = bytes.subarray(written, end);
        return frames.length - n - (begin < written ? 1 : 0);
      }
    }
    return 0;
  }
  flush(): void {
    if (!this.isFull) return;
    this.#left = this.#left.subarray(Math.max(0, send(this.fd, this.#left)));
  }
  receive(): ReceivedFrames {
    const length = libc.read(this.fd, chunk);
    if (length <= 0) return { frames: [], lost: 0, ...(!PASSING.has(length) && { ended: true }) };
    const bytes = Buffer.concat([this.#begun, chunk.subarray(0, length)]);
    const frames: Uint8Array[] = [];
    let at = 0;
    while (bytes.length - at >= PREFIX) {
      const size = bytes.readUInt32BE(at);
      if (size === 0 || size > LONGEST_FRAME) {
        return { frames, lost: 0, ended: `it sends a frame of ${size} bytes` };
      }
      if (bytes.length - at < PREFIX + size) break;
      frames.push(Uint8Array.from(bytes.subarray(at + PREFIX, at + PREFIX + size)));
      at += PREFIX + size;
    }
    this.#begun = Buffer.from(bytes.subarray(at));
    return { frames, lost: 0 };
  }
}
