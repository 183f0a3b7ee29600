/** `--pin=exact` without a host kernel that does it: what is asked of it, and what is said when it will not. */
import { beforeEach, describe, expect, test } from 'vitest';
import { EFAULT } from '../../base/errno.ts';
import { ExactPins } from './exact-pins.ts';
import { addressForGood } from '../sys/ffi.ts';
import type { Hand } from '../seccomp/in-thread.ts';
import type { Injection } from '../seccomp/injection.ts';
import { LONGEST_BUFFER, MOST_BUFFERS, type IoUring } from '../sys/io-uring.ts';
import { Notification } from '../seccomp/notification.ts';
import { HOST_ERRNO, NR } from '../sys/numbers.ts';

const ME = process.pid;
/** Stands for the caller's address space. */
const MINE = {};
const THEIR_FD = 7;
const REGISTER = 427;

/** A caller in this very process, whose kernel answers `results` one after the other, and then 1. */
function setup(results: number[] = []) {
  const stack = Buffer.alloc(512);
  const calls: (readonly (number | bigint)[])[] = [];
  const warnings: string[] = [];
  const released: number[] = [];
  const ends: (() => void)[] = [];
  let reachable = true;
  const thread = {
    tid: ME,
    runNow: (nr: number, ...args: (number | bigint)[]) => {
      if (nr === NR.mmap) return addressForGood(stack);
      calls.push([nr, ...args]);
      return results.shift() ?? 1;
    },
    atEnd: (run: () => void) => void ends.push(run),
  } as unknown as Injection;
  const ring = {
    fd: 3,
    read: () => reachable,
    write: () => reachable,
    unregister: (slot: number) => void released.push(slot),
  } as unknown as IoUring;
  const call = Object.assign(Object.create(Notification.prototype) as Notification, {
    id: 1n,
    tid: ME,
  });
  const caller: { space: object } = { space: MINE };
  const parts = {
    current: () => ({ call, space: caller.space }),
    inject: (_call: Notification, hands: readonly Hand[]) => {
      for (const hand of hands) hand.give({ addFd: () => THEIR_FD }, call);
      return thread;
    },
    warn: (text: string) => void warnings.push(text),
  };
  let rings = 0;
  const pins = new ExactPins(parts, () => {
    rings++;
    return ring;
  });
  const lose = (): void => void (reachable = false);
  return { pins, caller, rings: () => rings, stack, calls, warnings, released, ends, lose, parts };
}

describe('a pin', () => {
  let s: ReturnType<typeof setup>;
  beforeEach(() => {
    s = setup();
  });
  test('a pin is one buffer of the ring, registered by the caller with a descriptor it has for this call', () => {
    expect(s.pins.hold(MINE, 16, 2)).toBeDefined();
    expect(s.pins.hold(MINE, 32, 1)).toBeDefined();
    const update = BigInt(addressForGood(s.stack)) + 16n;
    expect(s.calls).toEqual([
      [REGISTER, THEIR_FD, 16, update, 32],
      [REGISTER, THEIR_FD, 16, update, 32],
    ]);
    // struct iovec, and struct io_uring_rsrc_update2 for the second place of the table.
    expect([s.stack.readBigUInt64LE(0), s.stack.readBigUInt64LE(8)]).toEqual([0x2_0000n, 4096n]);
    expect([s.stack.readUInt32LE(16), s.stack.readUInt32LE(40)]).toEqual([1, 1]);
    expect(s.stack.readBigUInt64LE(24)).toBe(BigInt(addressForGood(s.stack)));
    for (const end of s.ends) end();
    expect(s.calls.slice(2)).toEqual([
      [NR.close, THEIR_FD],
      [NR.munmap, addressForGood(s.stack), 4096],
    ]);
    expect(s.warnings).toEqual([]);
  });
  test('a pin gives its place back when it is released', () => {
    s.pins.hold(MINE, 16, 2)!.release();
    expect(s.released).toEqual([0]);
    s.pins.hold(MINE, 16, 2);
    expect(s.stack.readUInt32LE(16)).toBe(0);
  });
  test('an address space has a ring of its own, in which nothing of another is', () => {
    const other = {};
    s.pins.hold(MINE, 16, 1);
    s.pins.hold(MINE, 17, 1);
    expect(s.rings()).toBe(1);
    s.caller.space = other;
    s.pins.hold(other, 16, 1);
    expect(s.rings()).toBe(2);
    expect(s.stack.readUInt32LE(16)).toBe(0);
    s.caller.space = MINE;
    s.pins.hold(MINE, 18, 1);
    expect(s.rings()).toBe(2);
    expect(s.stack.readUInt32LE(16)).toBe(2);
  });
  test('a pin that the kernel does not reach any more is EFAULT', () => {
    const held = s.pins.hold(MINE, 16, 1)!;
    expect(held.read(0, 0, new Uint8Array(1))).toBeUndefined();
    expect(held.write(0, 0, new Uint8Array(1))).toBeUndefined();
    s.lose();
    expect(held.read(0, 0, new Uint8Array(1))).toBe(EFAULT);
    expect(held.write(0, 0, new Uint8Array(1))).toBe(EFAULT);
  });
});

describe('what cannot be pinned', () => {
  const said = (s: ReturnType<typeof setup>): string => {
    expect(s.warnings).toHaveLength(1);
    return s.warnings[0]!.replace(/^--pin=exact: some pages are copied .* goes: /, '');
  };
  test.for([
    [HOST_ERRNO.ENOMEM, 'the limit of locked memory is reached (ulimit -l)'],
    [HOST_ERRNO.EFAULT, 'they are read-only, which io_uring does not pin'],
    [HOST_ERRNO.EPERM, 'the program is traced by a debugger'],
    [99, 'the kernel says errno 99'],
  ] as const)('a pin is refused by errno %i of the kernel: %s, said once', ([errno, reason]) => {
    const s = setup([-errno, -errno]);
    expect(s.pins.hold(MINE, 16, 1)).toBeUndefined();
    expect(s.pins.hold(MINE, 17, 1)).toBeUndefined();
    expect(said(s)).toBe(reason);
    // Its place is free again.
    s.pins.hold(MINE, 16, 1);
    expect(s.stack.readUInt32LE(16)).toBe(0);
  });
  test('memory of another process than the caller cannot be pinned', () => {
    const s = setup();
    expect(s.pins.hold({}, 16, 1)).toBeUndefined();
    expect(said(s)).toBe('they were pinned in a call of another process');
  });
  test('more than a buffer may have cannot be pinned', () => {
    const s = setup();
    expect(s.pins.hold(MINE, 16, LONGEST_BUFFER / 4096 + 1)).toBeUndefined();
    expect(said(s)).toBe('a pin has more than 1 GiB');
  });
  test('more pins than the table has places cannot be had', () => {
    const s = setup();
    for (let n = 0; n < MOST_BUFFERS; n++) expect(s.pins.hold(MINE, n, 1)).toBeDefined();
    expect(s.pins.hold(MINE, 0, 1)).toBeUndefined();
    expect(said(s)).toBe(`there are more than ${MOST_BUFFERS} pins of a process`);
  });
  test('what the caller cannot be given or made to do is not pinned', () => {
    const s = setup();
    s.parts.inject = () => -HOST_ERRNO.EPERM as never;
    expect(s.pins.hold(MINE, 16, 1)).toBeUndefined();
    expect(said(s)).toBe('the program is traced by a debugger');
  });
});
