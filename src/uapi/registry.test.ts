/** The registry against the handlers' table: the same commands, with the same structs. */
import { expect, test } from 'vitest';
import { IOCTLS } from '../iommufd/main.ts';
import { IOMMUFD_IOCTLS } from './registry.ts';

test('every command that is handled has a name and the struct it is handled with', () => {
  const handled = IOCTLS.map((op) => [op.command, op.struct, op.size]);
  const named = IOMMUFD_IOCTLS.map((e) => [e.command, e.struct.cName, e.struct.size]);
  expect(named).toEqual(handled);
});

test('numbers are _IO(0x3b, nr) from 0x80 on without a hole up to the last real command', () => {
  const numbers = IOMMUFD_IOCTLS.map((e) => e.command).sort((a, b) => a - b);
  const real = Array.from({ length: 0x16 }, (_, n) => 0x3b80 + n);
  expect(numbers).toEqual([...real, 0x3ba0]);
});
