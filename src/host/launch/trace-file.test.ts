import { spawnSync } from 'node:child_process';
import {
  closeSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { openTrace } from './trace-file.ts';

const folder = mkdtempSync(join(tmpdir(), 'trace-of-softiommu-'));
afterAll(() => {
  rmSync(folder, { recursive: true });
});
let count = 0;
function name(suffix = ''): string {
  return join(folder, `t${count++}${suffix}`);
}
function there(content: string, mode = 0o644, suffix = ''): string {
  const file = name(suffix);
  writeFileSync(file, content, { mode });
  return file;
}
function trace(file: string, line: string): string {
  const fd = openTrace(file);
  writeSync(fd, `${line}\n`);
  closeSync(fd);
  return readFileSync(file, 'utf8');
}

describe('a trace is written', () => {
  test('to a new file, with our mark in its first line', () => {
    expect(trace(name(), 'map')).toBe('# trace of softiommu\nmap\n');
    expect(trace(name('.jsonl'), '{"v":1,"trace":"softiommu"}')).toBe(
      '{"v":1,"trace":"softiommu"}\n',
    );
  });
  test('over an empty file', () => {
    expect(trace(there(''), 'map')).toBe('# trace of softiommu\nmap\n');
  });
  test('over an older trace, whatever form it has', () => {
    const file = name();
    trace(file, 'a long line of the trace before');
    expect(trace(file, 'new')).toBe('# trace of softiommu\nnew\n');
    for (const first of ['{"trace":"softiommu"}', '{"v":1,"trace":"softiommu","startedUs":1}']) {
      expect(trace(there(`${first}\n{}\n`), 'new')).toBe('# trace of softiommu\nnew\n');
    }
  });
  test('to standard error and to devices, which lose nothing', () => {
    expect(openTrace('-')).toBe(2);
    const fd = openTrace('/dev/null');
    expect(fd).toBeGreaterThan(2);
    closeSync(fd);
  });
});

describe('a trace is refused, and the file stays as it was', () => {
  test.for<[string, () => string, string]>([
    ['a text', () => there('my notes\n'), 'it is there already and is no trace (the first line of'],
    [
      'a trace that is none',
      () => there('# trace of softiommu?\n'),
      'it is there already and is no',
    ],
    ['a program', () => there('#!/bin/sh\n', 0o755), 'it is a program, and --trace=FILE would'],
    ['an empty program', () => there('', 0o700), 'it is a program, and --trace=FILE would'],
    [
      'a link to a text',
      () => {
        const link = name();
        symlinkSync(there('my notes\n'), link);
        return link;
      },
      'it is there already and is no trace',
    ],
  ])('%s', ([, make, rule]) => {
    const file = make();
    const before = readFileSync(file, 'utf8');
    expect(() => openTrace(file)).toThrow(`the trace cannot be written to `);
    expect(() => openTrace(file)).toThrow(rule);
    expect(readFileSync(file, 'utf8')).toBe(before);
  });
  test.for<[string, string, string]>([
    ['a folder', folder, 'it is a directory'],
    ['a folder that is not there', join(folder, 'no/t'), 'there is no such file'],
    ['no name', '', '--trace= names no file'],
    ['a command', '|cat', 'no command is run for it'],
  ])('%s', ([, file, rule]) => {
    expect(() => openTrace(file)).toThrow(rule);
  });
  test('a pipe without a reader, at once', () => {
    const pipe = name();
    expect(spawnSync('mkfifo', [pipe]).status).toBe(0);
    expect(() => openTrace(pipe)).toThrow('there is nobody at the other end');
  });
});
