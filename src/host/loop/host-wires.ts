/**
 * Wires that lead to the host, as the kernel thread has them. Nothing waits: frames go at once or are lost, and what has
 * come is taken when the wait loop says so.
 */
import { Bug } from '../../base/bug.ts';
import type { WireBacking, WireReceiver } from '../../machine/hardware/wires.ts';
import type { WireEnd } from '../launch/wire-ends.ts';
import * as libc from '../sys/libc.ts';
import { HOST_ERRNO } from '../sys/numbers.ts';
import { errnoReason } from '../sys/system-reason.ts';
import { Epoll, EPOLL } from '../sys/epoll.ts';
import { accept, socketAddress } from '../sys/unix-socket.ts';
import {
  datagramFrames,
  packetFrames,
  StreamFrames,
  tapFrames,
  type FrameChannel,
} from './frames.ts';

/** All of one run. */
export class HostWires {
  /** By the names of the description. */
  readonly wires: ReadonlyMap<string, WireBacking>;
  readonly #epoll = new Epoll();
  readonly #ends: readonly HostWire[];

  constructor(ends: readonly WireEnd[], say: (text: string) => void) {
    this.#ends = ends.map((end) => new HostWire(end, { epoll: this.#epoll, say }));
    this.wires = new Map(this.#ends.map((end) => [end.name, end]));
  }
  /** Readable while something is to be done. */
  get fd(): number {
    return this.#epoll.fd;
  }
  /** What is ready. */
  serve(): void {
    for (const { fd, events } of this.#epoll.ready()) {
      this.#ends.find((end) => end.has(fd))?.serve(fd, events);
    }
  }
  /** The run is over: how much was lost is said. What listens is closed by whoever opened it. */
  close(): void {
    for (const end of this.#ends) end.close();
    this.#epoll.close();
  }
}

const NO_DESCRIPTOR: ReadonlySet<number> = new Set([-HOST_ERRNO.EMFILE, -HOST_ERRNO.ENFILE]);

interface Surroundings {
  readonly epoll: Epoll;
  readonly say: (text: string) => void;
}

/** One of them. */
class HostWire implements WireBacking {
  readonly name: string;
  readonly #end: WireEnd;
  readonly #around: Surroundings;
  #channel: FrameChannel | undefined;
  #receiver: WireReceiver | undefined;
  #watchesRoom = false;
  /** Frames of the device that the host did not take. */
  #lost = 0;

  constructor(end: WireEnd, around: Surroundings) {
    this.name = end.name;
    this.#end = end;
    this.#around = around;
    if (end.listens) around.epoll.add(end.fd, EPOLL.in);
    else this.#open(end.fd);
  }

  get carrier(): boolean {
    return this.#channel !== undefined;
  }
  /** Nobody out there is told. */
  power(): void {
    return;
  }
  send(frames: readonly Uint8Array[]): void {
    const channel = this.#channel;
    if (!channel) return;
    this.#lost += channel.send(frames);
    this.#watch(channel);
  }
  listen(receiver: WireReceiver): Disposable {
    if (this.#receiver) throw new Bug(`the wire ${this.name} has its device already`);
    this.#receiver = receiver;
    return { [Symbol.dispose]: () => (this.#receiver = undefined) };
  }

  has(fd: number): boolean {
    return fd === this.#end.fd || fd === this.#channel?.fd;
  }
  serve(fd: number, events: number): void {
    const channel = this.#channel;
    if (!channel) {
      this.#accept(fd);
      return;
    }
    if (events & EPOLL.out) channel.flush();
    if (events & ~EPOLL.out) this.#receive(channel);
    if (this.#channel) this.#watch(channel);
  }
  close(): void {
    if (this.#lost > 0) {
      this.#say(`did not take ${this.#lost} frames: they were lost`);
    }
    if (this.#channel && this.#end.listens) libc.close(this.#channel.fd);
    this.#channel = undefined;
  }

  /** While one is there others wait, in the queue of the socket. */
  #accept(listening: number): void {
    const fd = accept(listening);
    if (NO_DESCRIPTOR.has(fd)) this.#around.say(`wire ${this.name}: ${errnoReason(-fd)}`);
    else if (fd < 0) return;
    // Of what cannot be accepted nobody is told again and again.
    this.#around.epoll.remove(listening);
    if (fd < 0) return;
    this.#open(fd);
    this.#receiver?.carrier(true);
  }
  #open(fd: number): void {
    this.#channel = channelOf(this.#end, fd);
    this.#watchesRoom = false;
    this.#around.epoll.add(fd, EPOLL.in);
  }
  #receive(channel: FrameChannel): void {
    const { frames, lost, ended } = channel.receive();
    if (frames.length > 0 || lost > 0) this.#receiver?.receive(frames, lost);
    if (ended !== undefined) this.#gone(channel, ended);
  }
  #gone(channel: FrameChannel, why: string | true): void {
    const { epoll } = this.#around;
    this.#channel = undefined;
    epoll.remove(channel.fd);
    if (this.#end.listens) {
      libc.close(channel.fd);
      epoll.add(this.#end.fd, EPOLL.in);
    }
    this.#say(why === true ? 'has gone: the link is down' : `is given up, for ${why}`);
    this.#receiver?.carrier(false);
  }
  #watch({ fd, isFull }: FrameChannel): void {
    if (isFull === this.#watchesRoom) return;
    this.#watchesRoom = isFull;
    this.#around.epoll.change(fd, isFull ? EPOLL.in | EPOLL.out : EPOLL.in);
  }
  #say(what: string): void {
    this.#around.say(`wire ${this.name}: the other end ${what}`);
  }
}

function channelOf({ kind, to, name }: WireEnd, fd: number): FrameChannel {
  if (kind === 'tap') return tapFrames(fd);
  if (kind === 'stream') return new StreamFrames(fd);
  if (kind === 'packets') return packetFrames(fd);
  const address = socketAddress(to ?? '');
  if (!address) throw new Bug(`the wire ${name} has no address that can be`);
  return datagramFrames(fd, address);
}
