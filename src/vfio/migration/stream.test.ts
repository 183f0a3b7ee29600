import { describe, expect, test } from 'vitest';
import { EFAULT, EINVAL, ENODEV, ENOMEM, ENOMSG, type Status } from '../../base/errno.ts';
import { plainBuffer, type UserBuffer } from '../../base/file.ts';
import { must } from '../../testing/base/must.ts';
import { ResumingStream, SavingStream } from './stream.ts';

const HEAD = Uint8Array.of(1, 2, 3);

function saving(states: (Uint8Array | undefined)[]) {
  const stream = new SavingStream({ early: () => states.shift(), tellsFlags: () => false }, HEAD);
  const read = (length: number) => {
    const into = new Uint8Array(length);
    const n = stream.read(plainBuffer(into));
    return typeof n === 'number' ? [...into.subarray(0, n)] : n;
  };
  return { stream, read };
}
/** Takes `room` bytes, and nothing behind them. */
function shortBuffer(room: number): UserBuffer {
  const copyTo = (at: number, from: Uint8Array): Status<'EFAULT'> =>
    at + from.length > room ? EFAULT : undefined;
  return { length: 100, copyTo, copyFrom: () => EFAULT };
}

describe('a saving stream', () => {
  test('is its head and the state before the device stops, then what is new, then the last', () => {
    const { stream, read } = saving([Uint8Array.of(4), Uint8Array.of(4), Uint8Array.of(5)]);
    stream.begin();
    expect(stream.precopyInfo()).toEqual({ initial: 4, dirty: 0 });
    expect(read(2)).toEqual([1, 2]);
    expect(stream.precopyInfo()).toEqual({ initial: 2, dirty: 0 });
    expect(read(9)).toEqual([3, 4]);
    expect(read(9)).toBe(ENOMSG);
    expect(stream.precopyInfo()).toEqual({ initial: 0, dirty: 0 });
    expect(stream.isReadable).toBe(false);
    expect(stream.precopyInfo()).toEqual({ initial: 0, dirty: 1 });
    expect(read(9)).toEqual([5]);
    stream.finish(Uint8Array.of(6, 7));
    expect(stream.precopyInfo()).toBe(EINVAL);
    expect([read(1), read(9), read(9)]).toEqual([[6], [7], []]);
    expect(stream.isReadable).toBe(true);
    stream.end();
    expect(read(1)).toBe(ENODEV);
  });
  test('of a device that sends nothing early is its head, and the state at the end', () => {
    const { stream, read } = saving([]);
    stream.begin();
    expect([read(9), read(9)]).toEqual([[1, 2, 3], ENOMSG]);
    expect(stream.precopyInfo()).toEqual({ initial: 0, dirty: 0 });
    stream.finish(Uint8Array.of(8));
    expect([read(9), read(9)]).toEqual([[8], []]);
  });
  test('what could not be copied was not read', () => {
    const { stream, read } = saving([]);
    expect(stream.read(shortBuffer(0))).toBe(EFAULT);
    stream.finish(Uint8Array.of(9, 9));
    expect(stream.read(shortBuffer(3))).toBe(3);
    expect(read(9)).toEqual([9, 9]);
  });
});

describe('a resuming stream', () => {
  const write = (stream: ResumingStream, ...bytes: number[]) =>
    stream.write(plainBuffer(Uint8Array.from(bytes)));
  test('takes what begins as streams of the device do, in pieces', () => {
    const stream = new ResumingStream(HEAD);
    expect([write(stream, 1), write(stream, 2), stream.images()]).toEqual([1, 1, EINVAL]);
    expect([write(stream), write(stream, 3, 4), write(stream, 5)]).toEqual([0, 2, 1]);
    expect(must(stream.images())).toEqual(Uint8Array.of(4, 5));
    stream.end();
    expect(write(stream, 6)).toBe(ENODEV);
  });
  test('refuses another head, a buffer that is not there, and more than it keeps', () => {
    expect(write(new ResumingStream(HEAD), 1, 9)).toBe(EINVAL);
    const stream = new ResumingStream(HEAD, 4);
    expect(write(stream, 1, 2, 3)).toBe(3);
    expect(stream.write(shortBuffer(0))).toBe(ENOMEM);
    expect(new ResumingStream(HEAD).write(shortBuffer(0))).toBe(EFAULT);
    expect([write(stream, 4), write(stream, 5)]).toEqual([1, ENOMEM]);
  });
});
