import { expect, test } from 'vitest';
import {
  amdv1,
  HardwareWalk,
  newGather,
  riscv64,
  vtdss,
  type PtConfig,
  type PtFormat,
} from '../index.ts';
import { newTable } from '../../testing/pt/rig.ts';

function make(format: PtFormat, config: PtConfig) {
  const { pt, ram } = newTable(format, config);
  const hardware = new HardwareWalk(format, ram);
  const walk = (iovaG: number, write = false, setDirty = false) =>
    hardware.walk(pt.topPfn, pt.topLevel, iovaG, write, setDirty);
  return { ram, pt, hardware, walk };
}

test('a permitted write makes the leaf dirty when the unit tracks; reads and refused writes do not', () => {
  const { pt, walk } = make(vtdss, { vaLg2: 39, oaLg2: 52 });
  expect(pt.map(1, 11, 1, 3)).toBe(undefined);
  expect(pt.map(2, 12, 1, 1)).toBe(undefined);
  const dirty = () => {
    const found: number[] = [];
    expect(pt.readDirty(0, 10, false, newGather(), (at) => found.push(at))).toBe(undefined);
    return found;
  };
  expect([walk(1, false, true), walk(1, true, false), walk(2, true, true)]).toEqual([11, 11, -1]);
  expect(dirty()).toEqual([]);
  expect(walk(1, true, true)).toBe(11);
  expect(dirty()).toEqual([1]);
});

test('rights are ANDed down the walk', () => {
  const { ram, pt, hardware, walk } = make(vtdss, { vaLg2: 39, oaLg2: 52 });
  expect(pt.map(1, 11, 1, 3)).toBe(undefined);
  expect(walk(1, true)).toBe(11);
  // Take the write bit out of the top entry.
  ram.words[pt.topPfn * 1024]! &= ~2;
  expect([walk(1, false), walk(1, true)]).toEqual([11, -1]);
  expect([hardware.fault, hardware.level, hardware.itemWord]).toEqual([
    'permission',
    2,
    pt.topPfn * 1024,
  ]);
});

test('the leaf alone decides for RISC-V', () => {
  const { pt, hardware, walk } = make(riscv64, {
    vaLg2: 39,
    oaLg2: 56,
    features: ['sign-extend', 'svnapot-64k'],
  });
  expect(pt.map(16, 32, 16, 1)).toBe(undefined);
  expect([walk(21), walk(21, true)]).toEqual([37, -1]);
  expect([hardware.fault, hardware.level]).toEqual(['permission', 0]);
  expect(walk(17)).toBe(33);
  expect(hardware.sizeLg2).toBe(4);
});

test('a run of items counts as one page of its size', () => {
  const { pt, hardware, walk } = make(amdv1, { vaLg2: 39, oaLg2: 52, topLevel: 2 });
  expect(pt.map(1024, 4096, 1024, 3)).toBe(undefined);
  expect(walk(1024 + 777, true)).toBe(4096 + 777);
  expect([hardware.fault, hardware.sizeLg2, hardware.prot]).toEqual(['none', 10, 3]);
});

test('a table pointer out of RAM is a bus error', () => {
  const { ram, pt, hardware, walk } = make(vtdss, { vaLg2: 39, oaLg2: 52 });
  ram.words[pt.topPfn * 1024] = 0x7fff_f003;
  expect(walk(0)).toBe(-1);
  expect([hardware.fault, hardware.level]).toEqual(['bus-error', 1]);
  ram.words[pt.topPfn * 1024] = 0;
  expect(walk(0)).toBe(-1);
  expect(hardware.fault).toBe('not-present');
});
