/** Programs that a command starts: what is left of one that cannot be started. */
import { afterEach, expect, test, vi } from 'vitest';
import { Children } from './children.ts';

afterEach(() => {
  vi.useRealTimers();
});

test('a program that does not exist keeps nobody waiting for its time limit', async () => {
  vi.useFakeTimers();
  const children = new Children();
  const start = { program: '/no/such/program', args: [], limitMs: 60_000, env: {} };
  await expect(children.run(start)).rejects.toThrow('ENOENT');
  expect(vi.getTimerCount()).toBe(0);
  children.stop();
  expect(vi.getTimerCount()).toBe(0);
});
