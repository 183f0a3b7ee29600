/** What a reader is sent of a trace that grows: whole lines, each once, and no more than is taken. */
import { EventEmitter } from 'node:events';
import type { ServerResponse } from 'node:http';
import { expect, test } from 'vitest';
import { Follower } from './follower.ts';

/** A trace as bytes in memory, and a reader that is full after so many writes. */
function world(takes = Infinity) {
  let bytes = Buffer.alloc(0);
  let left = takes;
  const sent: string[] = [];
  const socket = new EventEmitter();
  const response = Object.assign(socket, {
    write(text: string): boolean {
      sent.push(text);
      return --left > 0;
    },
    end: (text: string) => void sent.push(text),
  });
  const trace = {
    read: (into: Buffer, from: number) => bytes.copy(into, 0, from),
  };
  // cast: all that is used of it
  const follower = new Follower(response as unknown as ServerResponse, trace);
  return {
    follower,
    grow: (text: string) => (bytes = Buffer.concat([bytes, Buffer.from(text)])),
    lines: () =>
      sent
        .join('')
        .split('\n')
        .flatMap((line) => (line.startsWith('data: ') ? [line.slice('data: '.length)] : [])),
    sent,
    drain: (again: number) => {
      left = again;
      socket.emit('drain');
    },
  };
}

test('a line is sent when it is whole', () => {
  const { follower, grow, lines } = world();
  grow('{"a":1}\n{"b"');
  expect([follower.advance(), lines()]).toEqual([true, ['{"a":1}']]);
  grow(':2}\n');
  expect([follower.advance(), lines()]).toEqual([true, ['{"a":1}', '{"b":2}']]);
  expect([follower.advance(), lines()]).toEqual([true, ['{"a":1}', '{"b":2}']]);
});
test('a character is never parted, wherever a piece ends', () => {
  const { follower, grow, lines } = world();
  const all = ['ä€😀', 'x'.repeat(9), '😀😀', ''].map((text) => `"${text}"`);
  grow(`${all.join('\n')}\n`);
  expect(follower.advance(Buffer.alloc(12))).toBe(true);
  expect(lines()).toEqual(all);
});
test('a line longer than a piece comes whole', () => {
  const { follower, grow, lines } = world();
  const long = 'x'.repeat(1000);
  grow(`a\n${long}\nb\n`);
  expect(follower.advance(Buffer.alloc(16))).toBe(true);
  expect(lines()).toEqual(['a', long, 'b']);
});
test('a reader that is full is sent nothing until it has taken what there is', () => {
  const { follower, grow, lines, drain } = world(1);
  grow('a\nb\nc\n');
  const piece = () => Buffer.alloc(2);
  expect([follower.advance(piece()), lines()]).toEqual([false, ['a']]);
  expect([follower.advance(piece()), lines()]).toEqual([false, ['a']]);
  drain(2);
  expect([follower.advance(piece()), lines()]).toEqual([false, ['a', 'b', 'c']]);
  drain(9);
  expect([follower.advance(piece()), lines()]).toEqual([true, ['a', 'b', 'c']]);
});
test('the end is an event of its own', () => {
  const { follower, sent } = world();
  follower.end({ ending: 'Exit status 0\n' });
  expect(sent).toEqual(['event: end\ndata: {"ending":"Exit status 0\\n"}\n\n']);
});
