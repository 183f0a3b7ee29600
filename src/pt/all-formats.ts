/** The page-table formats that come with softiommu, by name. */
import type { PtFormat } from './format.ts';
import { amdv1, amdv1mock } from './formats/amdv1.ts';
import { riscv64 } from './formats/riscv.ts';
import { vtdss } from './formats/vtdss.ts';
import { x86_64 } from './formats/x86-64.ts';

export const FORMATS: ReadonlyMap<string, PtFormat> = new Map(
  [amdv1, amdv1mock, riscv64, vtdss, x86_64].map((format) => [format.name, format]),
);
