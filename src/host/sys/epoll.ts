/** epoll(7): waiting for many descriptors costs what is ready, however many there are. */
import { syscall } from './ffi.ts';
import { close } from './libc.ts';
import { NR, O_CLOEXEC } from './numbers.ts';
import { EPOLL_WATCHES, notShort, notShortOfWatches } from './shortage.ts';

/** poll(2) and epoll(7): something is there to read, room to write, an error, the other end has gone. */
export const EPOLL = { in: 1, out: 4, error: 8, hungUp: 16 } as const;
const EPOLL_CTL = { add: 1, remove: 2, change: 3 } as const;
/** struct epoll_event of x86-64, which is packed. */
const EVENT = 12;
const MOST_EVENTS = 16;

/** One descriptor that is readable when something is ready on any of several. */
export class Epoll {
  readonly fd = notShort(syscall(NR.epoll_create1, O_CLOEXEC));
  readonly #events = Buffer.alloc(EVENT * MOST_EVENTS);

  /** Minus an errno when there is no such thing to wait for. Throws Shortage. */
  add(fd: number, events: number): number {
    return this.#control(EPOLL_CTL.add, fd, events);
  }
  change(fd: number, events: number): void {
    this.#control(EPOLL_CTL.change, fd, events);
  }
  /** Closing the last descriptor of a file does the same. */
  remove(fd: number): void {
    this.#control(EPOLL_CTL.remove, fd, 0);
  }
  /** What is ready now, some of it where it is much: the rest at the next look. */
  ready(): { readonly fd: number; readonly events: number }[] {
    const count = syscall(NR.epoll_wait, this.fd, this.#events, MOST_EVENTS, 0);
    const ready: { readonly fd: number; readonly events: number }[] = [];
    for (let at = 0; at < count * EVENT; at += EVENT) {
      ready.push({
        events: this.#events.readUInt32LE(at),
        fd: this.#events.readInt32LE(at + 4),
      });
    }
    return ready;
  }
  close(): void {
    close(this.fd);
  }
  #control(operation: number, fd: number, events: number): number {
    const event = Buffer.alloc(EVENT);
    event.writeUInt32LE(events, 0);
    event.writeInt32LE(fd, 4);
    const rc = syscall(NR.epoll_ctl, this.fd, operation, fd, event);
    return notShortOfWatches(rc, EPOLL_WATCHES);
  }
}
