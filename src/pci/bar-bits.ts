/** The bits of a base address register: what it says of itself, and which of them software moves (PCIe 7.5.1.2.1). */
import type { BarSpec } from './identity.ts';

/** The low bits of a BAR register that say what it is. */
export function barTypeBits(bar: BarSpec): number {
  if (bar.kind === 'io') return 1;
  return (bar.kind === 'mem64' ? 4 : 0) | (bar.prefetchable ? 8 : 0);
}

/** The writable bits of the register, and of its upper half if it has one. */
export function barWriteMask({ kind, size }: BarSpec): readonly [low: number, high: number] {
  const lg2 = Math.log2(size);
  const low = lg2 >= 32 ? 0 : (-size & 0xffff_ffff) >>> 0;
  if (kind !== 'mem64') return [low, 0];
  return [low, lg2 >= 32 ? (-(2 ** (lg2 - 32)) & 0xffff_ffff) >>> 0 : 0xffff_ffff];
}
