import { expect, test } from 'vitest';
import { bytes, struct, u32, u64 } from './struct.ts';

test('a view reads and writes the bytes it stands on, little-endian', () => {
  const pair = struct('pair', 16, { a: u32, __pad: bytes(4), b: u64 });
  const view = pair.view(new Uint8Array(16));
  view.a = 7;
  view.b = 0xffff_f000n;
  expect([...view.bytes]).toEqual([7, 0, 0, 0, 0, 0, 0, 0, 0, 0xf0, 0xff, 0xff, 0, 0, 0, 0]);
  expect(pair.end('a')).toBe(4);
});
test('padding must be declared, inside and at the end', () => {
  expect(() => struct('hole', 16, { a: u32, b: u64 })).toThrow('hole.b: padding before it');
  expect(() => struct('tail', 16, { a: u64, b: u32 })).toThrow('fields make 12');
});
test('a view of too few bytes is a bug', () => {
  expect(() => struct('one', 4, { a: u32 }).view(new Uint8Array(3))).toThrow(
    '3 bytes given, 4 needed',
  );
});
test('a new struct is zero but for the values given, and says its own length', () => {
  const sized = struct('sized', 16, { argsz: u32, flags: u32, size: u64 });
  expect([...sized.make({ flags: 3 }).bytes.subarray(0, 8)]).toEqual([16, 0, 0, 0, 3, 0, 0, 0]);
  const plain = struct('plain', 8, { flags: u32, size: u32 });
  expect([...plain.make().bytes]).toEqual([0, 0, 0, 0, 0, 0, 0, 0]);
});
