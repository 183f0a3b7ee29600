import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { HOST_ERRNO } from '../sys/numbers.ts';
import { whyNotRun } from './not-run.ts';

const folder = mkdtempSync(join(tmpdir(), 'not-run-'));
afterAll(() => {
  rmSync(folder, { recursive: true });
});
const text = join(folder, 'text');
writeFileSync(text, '#!/no/such/interpreter\n');
const script = join(folder, 'script');
writeFileSync(script, '#!/no/such/interpreter\n');
chmodSync(script, 0o755);

test.for([
  ['no-such-program', HOST_ERRNO.ENOENT, 127, 'no such program'],
  [`${text}/below`, HOST_ERRNO.ENOTDIR, 127, 'no such program'],
  [script, HOST_ERRNO.ENOENT, 127, 'what it needs to run (its first line says) is not there'],
  [text, HOST_ERRNO.EACCES, 126, 'is not executable (chmod +x makes it so)'],
  [folder, HOST_ERRNO.EACCES, 126, 'is a directory'],
  [script, HOST_ERRNO.EACCES, 126, 'permission denied'],
  [text, 26, 126, 'cannot be executed (errno 26)'],
] as const)('%s, errno %i: %i', ([program, error, status, reason]) => {
  expect(whyNotRun(program, error)).toEqual({ status, reason });
});
