/** What `softiommu new device` writes, and refuses to write. That it works is test/host/new-device.test.ts. */
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { newDevice } from './new-device.ts';

let folder = '';
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'new-device-of-softiommu-'));
});
afterEach(() => {
  rmSync(folder, { recursive: true });
});

describe('a new device', () => {
  test('has a model, its test, a program and a page, in a folder that is made', () => {
    const dir = join(folder, 'a/b');
    const names = ['frame-grabber.mts', 'frame-grabber.test.mts', 'frame-grabber.c', 'README.md'];
    expect(newDevice('frame-grabber', dir)).toEqual(names.map((name) => join(dir, name)));
    expect(readdirSync(dir).sort()).toEqual(names.toSorted());
  });
  test('is called by its name in every way that a name is written', () => {
    newDevice('frame-grabber', folder);
    const text = readdirSync(folder)
      .map((name) => readFileSync(join(folder, name), 'utf8'))
      .join('');
    expect(text).not.toMatch(/my-?\s?device/i);
    for (const name of ["type: 'frame-grabber'", 'class FrameGrabber ', 'frameGrabberDevice']) {
      expect(text).toContain(name);
    }
  });
  test('may be called by a word of the language', () => {
    newDevice('class', folder);
    const text = readFileSync(join(folder, 'class.mts'), 'utf8');
    expect(text).toContain('export const classDevice: DeviceType');
  });
  test('stands beside what is there already', () => {
    writeFileSync(join(folder, 'notes.txt'), 'mine');
    newDevice('a1', folder);
    expect(readFileSync(join(folder, 'notes.txt'), 'utf8')).toBe('mine');
  });
});

describe('what is refused', () => {
  const NAME = /a name is 1 to 32 small letters, digits and single dashes, a letter first/;
  test.for<[string, RegExp]>([
    ['', NAME],
    ['Foo', NAME],
    ['1st', NAME],
    ['a--b', NAME],
    ['a-', NAME],
    ['-a', NAME],
    ['../up', NAME],
    ['a/b', NAME],
    ['a,b=c', NAME],
    ['größe', NAME],
    ['a\nb', NAME],
    ['x'.repeat(33), NAME],
    ['nvme', /softiommu has a type of this name/],
    ['root-port', /softiommu has a type of this name/],
    ['help', /--device help means something else/],
  ])('the name %j', ([name, message]) => {
    expect(() => newDevice(name, folder)).toThrow(message);
    expect(readdirSync(folder)).toEqual([]);
  });
  test('to write over a file; the others are not written either', () => {
    writeFileSync(join(folder, 'README.md'), 'mine');
    expect(() => newDevice('a', folder)).toThrow(
      `nothing is overwritten, and there is ${join(folder, 'README.md')} already`,
    );
    expect(readdirSync(folder)).toEqual(['README.md']);
    expect(readFileSync(join(folder, 'README.md'), 'utf8')).toBe('mine');
  });
  test('a folder that is a file, is below one, or cannot be made', () => {
    const file = join(folder, 'file');
    writeFileSync(file, '');
    expect(() => newDevice('a', file)).toThrow(`${file} is a file, and no folder`);
    expect(() => newDevice('a', join(file, 'deeper'))).toThrow('cannot be written');
    mkdirSync(join(folder, 'empty'));
    expect(() => newDevice('a', '/proc/none/at/all')).toThrow(
      '/proc/none/at/all cannot be written: there is no such file',
    );
  });
});
