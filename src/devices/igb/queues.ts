/** The rings of the 82576: where one is, and how much of it waits (devices.md 1.2, 1.11). */
import type { DescriptorRing } from '../unit/ring.ts';
import type { Cells } from './cells.ts';
import { QUEUE_ON } from './registers.ts';

export const DESCRIPTOR = 16;
const LENGTH_UNIT = 128;
/** DD of a descriptor that has been written back. */
export const DONE = 1;

/** Names of the registers of one direction. */
const NAMES = {
  rx: ['rdbal', 'rdbah', 'rdlen', 'rdh', 'rdt', 'rxdctl'],
  tx: ['tdbal', 'tdbah', 'tdlen', 'tdh', 'tdt', 'txdctl'],
} as const;

/** A ring as it is now. */
export interface Queue {
  readonly ring: DescriptorRing;
  readonly head: number;
  /** Descriptors from the head on that the device may have. */
  readonly waiting: number;
}

/** Undefined: the queue is off, or its length is none or no multiple of 128. Head and tail beyond the ring count modulo its size. */
export function queueAt(
  cells: Cells,
  direction: keyof typeof NAMES,
  index: number,
): Queue | undefined {
  const [low, high, length, first, last, control] = NAMES[direction];
  const bytes = cells.get(length, index);
  if (bytes === 0 || bytes % LENGTH_UNIT !== 0 || !cells.has(control, QUEUE_ON, index))
    return undefined;
  const entries = bytes / DESCRIPTOR;
  const base = (cells.file.get(high, index) << 32n) | cells.file.get(low, index);
  const head = cells.get(first, index) % entries;
  const tail = cells.get(last, index) % entries;
  return {
    ring: { base, entries, entrySize: DESCRIPTOR },
    head,
    waiting: (tail - head + entries) % entries,
  };
}
