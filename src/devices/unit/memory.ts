/** Loads and stores of memory behind a BAR, as accesses of 1, 2, 4 or 8 bytes, little-endian. */
import type { BarMemory } from '../../base/bar-memory.ts';

const bytes = new Uint8Array(8);
const view = new DataView(bytes.buffer);

/** Zero-extended. */
export function loadFrom(memory: BarMemory, offset: number, width: number): bigint {
  bytes.fill(0);
  memory.read(offset, bytes.subarray(0, width));
  return view.getBigUint64(0, true);
}
/** The low bytes of `value`. */
export function storeTo(memory: BarMemory, offset: number, width: number, value: bigint): void {
  view.setBigUint64(0, value, true);
  memory.write(offset, bytes.subarray(0, width));
}
