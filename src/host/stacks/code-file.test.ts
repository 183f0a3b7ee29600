import { execFileSync, spawn } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { lookAt } from '../sys/look.ts';
import { close, openWithoutLinks } from '../sys/libc.ts';
import { O_PATH } from '../sys/numbers.ts';
import { codeReader } from './code-file.ts';

const folder = mkdtempSync(join(tmpdir(), 'softiommu-code-'));
const file = join(folder, 'module');
const USER = { uid: 4711, gid: 4711, groups: [], capable: () => false };
const SOME_ROOT = { uid: 0, gid: 0, groups: [], capable: () => true };

function objectOf(path: string): string {
  const fd = openWithoutLinks(path, O_PATH);
  const look = lookAt(`/proc/self/fd/${fd}`)!;
  close(fd);
  return `${look.device}:${look.ino}`;
}
beforeAll(() => {
  writeFileSync(file, 'code', { mode: 0o755 });
  symlinkSync(file, join(folder, 'link'));
});
afterAll(() => rmSync(folder, { recursive: true }));

test('the file that is mapped is read', () => {
  const read = codeReader({ path: file, object: objectOf(file), cred: USER }).read();
  expect(read && Buffer.from(read).toString()).toBe('code');
});
test.each<[string, () => Parameters<typeof codeReader>[0]]>([
  ['another file of its name', () => ({ path: file, object: '00:01:1', cred: USER })],
  ['a link', () => ({ path: join(folder, 'link'), object: objectOf(file), cred: USER })],
  ['a folder', () => ({ path: folder, object: objectOf(folder), cred: USER })],
  ['no file', () => ({ path: '[vdso]', object: '', cred: USER })],
  ['one that is gone', () => ({ path: `${file} (deleted)`, object: objectOf(file), cred: USER })],
])('%s is not', (_name, mapped) => {
  expect(codeReader(mapped()).read()).toBeUndefined();
});
test('a FIFO of its name is not opened, for that alone would let a writer go on', async () => {
  const fifo = join(folder, 'fifo');
  execFileSync('mkfifo', [fifo]);
  const writer = spawn('sh', ['-c', ': > "$0"; echo opened', fifo]);
  let said = '';
  writer.stdout.on('data', (text) => (said += String(text)));
  await new Promise((resolve) => writer.once('spawn', resolve));
  for (let n = 0; n < 100; n++) {
    expect(codeReader({ path: fifo, object: '00:01:1', cred: USER }).read()).toBeUndefined();
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  expect(said).toBe('');
  writer.kill();
});
test('one that only others than the program may read is not', () => {
  const object = objectOf(file);
  chmodSync(file, 0o711);
  expect(codeReader({ path: file, object, cred: USER }).read()).toBeUndefined();
  expect(codeReader({ path: file, object, cred: SOME_ROOT }).read()).toBeDefined();
  chmodSync(file, 0o755);
});
test('what is no zlib stream becomes nothing', () => {
  expect(
    codeReader({ path: file, object: '', cred: USER }).inflate(Buffer.from('x')),
  ).toBeUndefined();
});
