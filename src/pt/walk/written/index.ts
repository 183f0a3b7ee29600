// Written by scripts/gen-walkers.ts from the format; not to be changed by hand.
/** The written-out walkers, by the name of their format. */
import type { PageWalker } from '../walker.ts';
import type { WrittenParts } from '../written-parts.ts';
import { Amdv1Walker } from './amdv1.ts';
import { Amdv1mockWalker } from './amdv1mock.ts';
import { Riscv64Walker } from './riscv-64.ts';
import { VtdssWalker } from './vtdss.ts';
import { X8664Walker } from './x86-64.ts';

export const WRITTEN: ReadonlyMap<string, new (parts: WrittenParts) => PageWalker> = new Map<
  string,
  new (parts: WrittenParts) => PageWalker
>([
  ['amdv1', Amdv1Walker],
  ['amdv1mock', Amdv1mockWalker],
  ['riscv_64', Riscv64Walker],
  ['vtdss', VtdssWalker],
  ['x86_64', X8664Walker],
]);
