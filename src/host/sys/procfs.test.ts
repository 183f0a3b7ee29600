/** Processes in words. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { expect, test } from 'vitest';
import { nameOf } from './procfs.ts';

test('what a program calls itself begins no line and moves no cursor', async () => {
  const script = `printf 'a\\n\\033[31mX' > /proc/$$/comm; echo named; read wait`;
  const child = spawn('sh', ['-c', script], { stdio: ['pipe', 'pipe', 'inherit'] });
  await once(child.stdout, 'data');
  expect(nameOf(child.pid!)).toBe(`process ${child.pid} (a\\x0a\\x1b[31mX)`);
  child.stdin.end();
  await once(child, 'exit');
});
