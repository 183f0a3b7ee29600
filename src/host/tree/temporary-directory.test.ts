/** A directory of a run beside what others have put there. */
import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { removeTemporaryDirectory, TemporaryDirectory } from './temporary-directory.ts';

let base: string;
beforeEach(() => {
  base = fs.mkdtempSync(join(tmpdir(), 'place-'));
});
afterEach(() => {
  fs.rmSync(base, { recursive: true });
});

/** A directory that looks as one of a run that was killed. */
function leftBehind(mode = 0o700): string {
  const path = join(base, 'softiommu-1-abcdef');
  fs.mkdirSync(path, { mode });
  fs.mkdirSync(join(path, 'dev'));
  fs.writeFileSync(join(path, 'dev', 'node'), '');
  return path;
}

test('it is private, of another name each time, and gone when it is removed', () => {
  const one = TemporaryDirectory.make([base]);
  const two = TemporaryDirectory.make([base]);
  expect(one.path).not.toBe(two.path);
  expect(fs.statSync(one.path).mode & 0o777).toBe(0o700);
  fs.mkdirSync(join(one.path, 'sys'));
  one.remove();
  expect(fs.readdirSync(base)).toEqual([two.path.slice(base.length + 1)]);
  two.remove();
  expect(fs.readdirSync(base)).toEqual([]);
});

test('one that a killed run left is swept; one of a run that is there is not, whatever its number', () => {
  const killed = leftBehind();
  const live = TemporaryDirectory.make([base]);
  expect(fs.existsSync(killed)).toBe(false);
  const renamed = join(base, 'softiommu-1-ghijkl');
  fs.renameSync(live.path, renamed);
  TemporaryDirectory.make([base]).remove();
  expect(fs.existsSync(renamed)).toBe(true);
  fs.renameSync(renamed, live.path);
  live.remove();
});

test.for(['softiommu-backup', 'softiommu-wishes-abcdef', 'softiommu-1-notes', 'softiommu-1'])(
  "a user's own directory %s is left",
  (name) => {
    const own = join(base, name);
    fs.mkdirSync(own, { mode: 0o700 });
    fs.writeFileSync(join(own, 'work'), 'of a year');
    TemporaryDirectory.make([base]).remove();
    expect(fs.readdirSync(own)).toEqual(['work']);
  },
);

test('a link in the place of one, and links in one, lead nowhere', () => {
  const precious = join(base, 'precious');
  fs.mkdirSync(precious, { mode: 0o700 });
  fs.writeFileSync(join(precious, 'file'), 'kept');
  fs.symlinkSync(precious, join(base, 'softiommu-2-planted'));
  const killed = leftBehind();
  fs.symlinkSync(precious, join(killed, 'out'));
  fs.symlinkSync('/', join(killed, 'dev', 'root'));
  TemporaryDirectory.make([base]).remove();
  expect(fs.existsSync(killed)).toBe(false);
  expect(fs.readFileSync(join(precious, 'file'), 'utf8')).toBe('kept');
  removeTemporaryDirectory(join(base, 'softiommu-2-planted'));
  expect(fs.readdirSync(precious)).toEqual(['file']);
});

test('one that others may look into is not one of ours', () => {
  const planted = leftBehind(0o755);
  TemporaryDirectory.make([base]).remove();
  expect(fs.existsSync(join(planted, 'dev', 'node'))).toBe(true);
});

test.skipIf(process.getuid?.() !== 0)('one of another user is left, by root too', () => {
  const other = leftBehind();
  fs.chownSync(other, 65534, 65534);
  TemporaryDirectory.make([base]).remove();
  expect(fs.existsSync(join(other, 'dev', 'node'))).toBe(true);
});

test('the first place that takes it is used, and without one the first reason is said', () => {
  const made = TemporaryDirectory.make([join(base, 'none'), base]);
  expect(made.path.startsWith(`${base}/softiommu-`)).toBe(true);
  made.remove();
  expect(() => TemporaryDirectory.make([join(base, 'none'), '/proc'])).toThrow(
    `no directory for temporary files can be made (${base}/none: there is no such file): set TMPDIR to where one can`,
  );
});
