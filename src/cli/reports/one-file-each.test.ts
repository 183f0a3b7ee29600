/** Files that options name: when two are one, and what cannot be looked at. */
import { linkSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { refuseOneFileTwice } from './one-file-each.ts';

const folder = mkdtempSync(join(tmpdir(), 'one-file-each-'));
afterAll(() => rmSync(folder, { recursive: true }));
const at = (name: string): string => join(folder, name);

test('a file is one by each of its names', () => {
  writeFileSync(at('one'), '');
  linkSync(at('one'), at('other'));
  const named = [
    ['--junit', at('one')],
    ['--ktap', at('other')],
  ] as const;
  expect(() => refuseOneFileTwice(named)).toThrow('--junit and --ktap both write to');
});
test('one that cannot be looked at is left to whoever opens it', () => {
  symlinkSync('circle', at('circle'));
  const named = [
    ['--junit', at('circle')],
    ['--ktap', at('\x1b'.repeat(300))],
    ['--json', at('fresh')],
  ] as const;
  expect(() => refuseOneFileTwice(named)).not.toThrow();
});
