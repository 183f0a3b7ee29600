import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { SameCpu } from './same-cpu.ts';

function allowed(): string {
  return /^Cpus_allowed_list:\s*(.*)$/m.exec(
    readFileSync('/proc/thread-self/status', 'latin1'),
  )![1]!;
}

test('we stay on the CPU of a program while it is followed, and then run where we could before', () => {
  const before = allowed();
  const cpu = new SameCpu();
  cpu.follow(process.pid);
  expect(cpu.bound).toBe(true);
  expect(allowed()).toMatch(/^\d+$/);
  cpu.leave();
  expect([allowed(), cpu.bound]).toEqual([before, false]);
});

test('a thread that is gone is not followed', () => {
  const before = allowed();
  const cpu = new SameCpu();
  cpu.follow(2 ** 22 + 1);
  cpu.leave();
  expect([allowed(), cpu.bound]).toEqual([before, false]);
});
