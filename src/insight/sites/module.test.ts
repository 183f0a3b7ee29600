/** What is read of a module, against what binutils read of it. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { inflateSync } from 'node:zlib';
import { afterAll, describe, expect, test } from 'vitest';
import { RBP, RSP } from './call-frame-info.ts';
import { Module } from './module.ts';
import { unwind } from './unwind.ts';

const SOURCE = `
#include <alloca.h>
#include <string.h>
struct large { char bytes[3000]; };
__attribute__((noinline)) int leaf(int a) { return a * 7; }
__attribute__((noinline)) int sum(int n, ...) { return leaf(n) + 1; }
__attribute__((noinline)) int varying(int n) { char *p = alloca(n); memset(p, n, n); return sum(p[n - 1], 1, 2, 3, 4, 5, 6, 7, 8); }
__attribute__((noinline)) int big(int n) { struct large l; memset(&l, n, sizeof l); return varying(l.bytes[7] + 1); }
__attribute__((noinline, aligned(64))) int aligned(int n) { int v[16] __attribute__((aligned(64))); v[n] = big(n); return v[n] + leaf(n); }
int main(int argc, char **argv) { return aligned(argc); }
`;
const folder = mkdtempSync(join(tmpdir(), 'softiommu-module-'));
afterAll(() => rmSync(folder, { recursive: true }));

function compiled(flags: readonly string[]): string {
  const [source, program] = [join(folder, 'frames.c'), join(folder, `frames${flags.join('')}`)];
  writeFileSync(source, SOURCE);
  const { status, stderr } = spawnSync('gcc', [...flags, 'frames.c', '-o', program], {
    cwd: folder,
    encoding: 'utf8',
  });
  if (status !== 0) throw new Error(stderr);
  return program;
}
function moduleOf(bytes: Uint8Array): Module {
  const inflate = (packed: Uint8Array): Uint8Array | undefined => {
    try {
      return inflateSync(packed);
    } catch {
      return undefined;
    }
  };
  return new Module('frames', { read: () => bytes, inflate });
}
function output(command: string, ...args: string[]): string[] {
  return spawnSync(command, args, { encoding: 'utf8', maxBuffer: 1 << 26 }).stdout.split('\n');
}
const hasTools = ['gcc', 'readelf', 'objdump', 'nm'].every(
  (tool) => spawnSync(tool, ['--version']).status === 0,
);

const BUILDS = [
  ['-O0', '-g'],
  ['-O2', '-g'],
  ['-O2', '-g', '-fno-omit-frame-pointer'],
  ['-O1', '-gdwarf-4'],
  ['-O1', '-gdwarf-3', '-gz=zlib'],
  ['-O2', '-g', '-static'],
];

describe.skipIf(!hasTools).each(BUILDS)('gcc %s %s %s', (...flags) => {
  const program = compiled(flags);
  const module = moduleOf(readFileSync(program));

  test('functions are those of nm', () => {
    const rows = output('nm', '-S', '--defined-only', program)
      .map((line) => /^([0-9a-f]+) ([0-9a-f]+) [tT] (\S+)$/.exec(line))
      .filter((row) => row !== null);
    const wanted = rows.filter(([, , , name]) =>
      /^(leaf|sum|varying|big|aligned|main)$/.test(name!),
    );
    expect(wanted).toHaveLength(6);
    for (const [, at, size, name] of wanted) {
      const start = Number.parseInt(at!, 16);
      expect(module.elf.functionAt(start)?.name).toBe(name);
      expect(module.elf.functionAt(start + Number.parseInt(size!, 16) - 1)?.name).toBe(name);
    }
  });

  test('canonical frame addresses are those of readelf', () => {
    let compared = 0;
    for (const line of output('readelf', '--debug-dump=frames-interp', program)) {
      const [, at, base, offset] = /^([0-9a-f]{16}) (r[bs]p)\+(\d+) /.exec(line) ?? [];
      if (at === undefined || /^0+$/.test(at)) continue;
      const row = module.frames.rowAt(Number.parseInt(at, 16));
      const register = base === 'rbp' ? RBP : RSP;
      expect([line, row?.cfa]).toEqual([line, { register, offset: Number(offset) }]);
      compared++;
    }
    expect(compared).toBeGreaterThanOrEqual(10);
  });

  test('lines are those of objdump', () => {
    const lines = new Map<number, string>();
    for (const text of output('objdump', '--dwarf=decodedline', program)) {
      const [, line, at] = /^frames\.c\s+(\d+|-)\s+(0x[0-9a-f]+)/.exec(text) ?? [];
      // Of several at one address the last counts; '-' is the end of code.
      if (line === '-') lines.delete(Number(at));
      else if (line !== undefined) lines.set(Number(at), `frames.c:${line}`);
    }
    expect(lines.size).toBeGreaterThan(15);
    for (const [at, line] of lines) {
      const { source } = module.describe(at);
      expect(source && `${source.file}:${source.line}`).toBe(line);
    }
  });
});

test.skipIf(!hasTools)('a file with any bytes changed, or cut, is read without harm', () => {
  const sound = readFileSync(compiled(['-O1', '-g']));
  const change = fc.tuple(fc.nat(sound.length - 1), fc.nat(255));
  fc.assert(
    fc.property(fc.array(change, { maxLength: 40 }), fc.nat(sound.length), (changes, length) => {
      const bytes = Buffer.from(sound.subarray(0, length === 0 ? sound.length : length));
      for (const [at, value] of changes) if (at < bytes.length) bytes[at] = value;
      const module = moduleOf(bytes);
      const code = [{ start: 0x40_0000, end: 0x50_0000, fileOffset: 0, module }];
      const words = Float64Array.from({ length: 64 }, (_, n) => 0x40_1000 + n * 5);
      const frames = unwind({ pc: 0x40_1150, sp: 0x7000_0000, words }, code);
      expect(frames.length).toBeGreaterThan(0);
      expect(frames.length).toBeLessThanOrEqual(64);
    }),
    { numRuns: 150 },
  );
});
test('what is no ELF file has nothing', () => {
  const module = moduleOf(Buffer.from('#!/bin/sh\n'));
  expect(module.elf.sections).toEqual([]);
  expect(module.describe(0)).toEqual({ module: 'frames', offset: 0 });
});
