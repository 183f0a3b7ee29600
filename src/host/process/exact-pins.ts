/**
 * `--pin=exact`: private pages of programs are pinned by the host's own kernel (io-uring.ts), as a device would have them.
 *
 * The program registers them itself, while it waits for the call that pins. What cannot be pinned so is followed by its
 * address and copied when its mapping goes, as without the option; each reason is said once.
 */
import { EFAULT, type Status } from '../../base/errno.ts';
import { refuse } from '../../base/refuse.ts';
import { PAGE_SIZE } from '../../base/u64.ts';
import { callLook } from './call-look.ts';
import type { HeldPages } from '../../machine/memory/process-memory.ts';
import { HostError } from '../sys/ffi.ts';
import { HandedOver } from '../seccomp/handed-over.ts';
import { NO_FILE, poke, type Hand } from '../seccomp/in-thread.ts';
import type { Injection } from '../seccomp/injection.ts';
import {
  bufferUpdate,
  IoUring,
  LONGEST_BUFFER,
  MOST_BUFFERS,
  REGISTER_BUFFERS_UPDATE,
  RingPipe,
  TOO_OLD,
} from '../sys/io-uring.ts';
import { duplicate, remoteIovec } from '../sys/libc.ts';
import type { Notification } from '../seccomp/notification.ts';
import { HOST_ERRNO, MAP_ANONYMOUS, MAP_PRIVATE, NR, PROT_READ_WRITE } from '../sys/numbers.ts';

/** The call that is being answered. */
export interface CurrentCall {
  readonly call: Notification;
  /** The caller's address space. */
  readonly space: object | undefined;
}
/** What pinning in the name of a program needs of the loop. */
export interface PinParts {
  current(): CurrentCall | undefined;
  inject(call: Notification, hands: readonly Hand[]): Injection | number;
  warn(text: string): void;
}

/** Makes a ring, for one address space; or minus an errno. */
export type NewRing = () => IoUring | number;

/** For a run that wants it, before anything is started. */
export function openRings(): { readonly newRing: NewRing; close(): void } {
  const pipe = RingPipe.open();
  const ring = typeof pipe === 'number' ? pipe : IoUring.open(pipe);
  if (typeof pipe !== 'number' && typeof ring !== 'number') {
    ring.close();
    return { newRing: () => IoUring.open(pipe), close: () => pipe.close() };
  }
  if (typeof pipe !== 'number') pipe.close();
  const instead = 'or leave the option out: pages are then copied when their mapping goes';
  if (ring === TOO_OLD) {
    throw new HostError(`--pin=exact needs a host with Linux 6.5 or newer, ${instead}`);
  }
  const remedy = "allow it by kernel.io_uring_disabled=0 and the container's seccomp profile";
  throw new HostError(
    `--pin=exact: this host forbids io_uring (errno ${-Number(ring)}): ${remedy}, ${instead}`,
  );
}

/**
 * The pins of one address space. Its ring registers nothing of anybody else: a thread of the program may have kept the
 * descriptor, and may then register other pages of its own in place of these.
 */
class SpacePins {
  readonly ring: IoUring;
  readonly #free: number[] = [];
  #used = 0;

  constructor(ring: IoUring) {
    this.ring = ring;
  }
  /** Undefined: there are none left. */
  take(): number | undefined {
    if (this.#free.length === 0 && this.#used === MOST_BUFFERS) return undefined;
    return this.#free.pop() ?? this.#used++;
  }
  giveBack(slot: number): void {
    this.#free.push(slot);
  }
}

/** A caller with the ring of its address space as a descriptor of its own, and memory of its own for what is told to the kernel. */
interface Caller {
  /** Of the trapped call. */
  readonly id: bigint;
  readonly thread: Injection;
  readonly fd: number;
  readonly room: bigint;
}

/** Pages pinned by the host for a program (`--pin=exact`). */
export class ExactPins {
  readonly #parts: PinParts;
  readonly #newRing: NewRing;
  /** By address space. A ring goes when neither that nor a pin of it is left. */
  readonly #spaces = new WeakMap<object, SpacePins>();
  readonly #told = new Set<string>();
  /** The caller that has a ring, as this descriptor of its own. */
  #caller: Caller | undefined;
  /** A call whose thread cannot be had for it, and why. */
  #failed: { readonly id: bigint; readonly errno: number } | undefined;

  constructor(parts: PinParts, newRing: NewRing) {
    this.#parts = parts;
    this.#newRing = newRing;
  }

  hold(space: object, index: number, count: number): HeldPages | undefined {
    const held = this.#pin(space, index, count);
    if (typeof held !== 'string') return held;
    if (!this.#told.has(held)) {
      this.#parts.warn(`--pin=exact: some pages are copied when their mapping goes: ${held}`);
    }
    this.#told.add(held);
    return undefined;
  }

  /** Or why not. */
  #pin(space: object, index: number, count: number): HeldPages | string {
    const current = this.#parts.current();
    if (current?.space !== space) return 'they were pinned in a call of another process';
    if (count * PAGE_SIZE > LONGEST_BUFFER) return 'a pin has more than 1 GiB';
    const pins = this.#pinsOf(space);
    if (typeof pins === 'number') return reasonOf(pins);
    const slot = pins.take();
    if (slot === undefined) return `there are more than ${MOST_BUFFERS} pins of a process`;
    const address = BigInt(index) * BigInt(PAGE_SIZE);
    const iov = remoteIovec(address, count * PAGE_SIZE);
    const rc = this.#register(current.call, { ring: pins.ring, slot, iov });
    if (rc >= 0) return this.#held(pins, slot, address);
    pins.giveBack(slot);
    return reasonOf(rc);
  }
  #pinsOf(space: object): SpacePins | number {
    const known = this.#spaces.get(space);
    if (known) return known;
    const ring = this.#newRing();
    if (typeof ring === 'number') return ring;
    const made = new SpacePins(ring);
    this.#spaces.set(space, made);
    return made;
  }

  #held(pins: SpacePins, slot: number, first: bigint): HeldPages {
    const { ring } = pins;
    const at = (page: number, offset: number): bigint => first + BigInt(page * PAGE_SIZE + offset);
    return {
      read: (page, offset, into) => done(ring.read(slot, at(page, offset), into)),
      write: (page, offset, from) => {
        callLook.drop();
        return done(ring.write(slot, at(page, offset), from));
      },
      release: () => {
        ring.unregister(slot);
        pins.giveBack(slot);
      },
    };
  }

  /** In the name of the caller. */
  #register(
    call: Notification,
    { ring, slot, iov }: { ring: IoUring; slot: number; iov: Buffer },
  ): number {
    const caller = this.#callerOf(call, ring);
    if (typeof caller === 'number') return caller;
    const { thread, fd, room } = caller;
    const updateAt = room + BigInt(iov.length);
    const update = bufferUpdate(slot, room);
    if (!poke(thread.tid, room, Buffer.concat([iov, update]))) return -HOST_ERRNO.EFAULT;
    return thread.runNow(
      NR.io_uring_register,
      fd,
      REGISTER_BUFFERS_UPDATE,
      updateAt,
      update.length,
    );
  }
  #callerOf(call: Notification, ring: IoUring): Caller | number {
    if (this.#caller?.id === call.id) return this.#caller;
    if (this.#failed?.id === call.id) return this.#failed.errno;
    const caller = this.#takenFor(call, ring);
    if (typeof caller === 'number') this.#failed = { id: call.id, errno: caller };
    return caller;
  }
  /** What it is given is given once a call. */
  #takenFor(call: Notification, ring: IoUring): Caller | number {
    const given = new HandedOver(() => duplicate(ring.fd));
    const thread = this.#parts.inject(call, [given]);
    if (typeof thread === 'number') return thread;
    const fd = given.keep();
    if (fd < 0) return fd;
    thread.atEnd(() => void thread.runNow(NR.close, fd));
    const flags = MAP_PRIVATE | MAP_ANONYMOUS;
    const room = thread.runNow(NR.mmap, 0, PAGE_SIZE, PROT_READ_WRITE, flags, NO_FILE, 0);
    if (room < 0) return room;
    thread.atEnd(() => void thread.runNow(NR.munmap, room, PAGE_SIZE));
    return (this.#caller = { id: call.id, thread, fd, room: BigInt(room) });
  }
}

/** Of io_uring_register(), by errno. */
const REASONS: Readonly<Record<number, string>> = {
  [HOST_ERRNO.EPERM]: 'the program is traced by a debugger',
  [HOST_ERRNO.ENOMEM]: 'the limit of locked memory is reached (ulimit -l)',
  [HOST_ERRNO.EFAULT]: 'they are read-only, which io_uring does not pin',
};

function reasonOf(rc: number): string {
  return REASONS[-rc] ?? `the kernel says errno ${-rc}`;
}
function done(worked: boolean): Status<'EFAULT'> {
  return worked ? undefined : refuse(EFAULT, 'the host kernel cannot reach the pinned page');
}
