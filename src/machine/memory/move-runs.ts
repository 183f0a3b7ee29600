/**
 * Runs of physical memory that lead to one memory of the host, moved there in one step: a ring walk, or a transfer over many
 * pages, is one system call or none, where each run by itself is one or two.
 *
 * Only what succeeds is decided here. A run that cannot be moved so is left, and those after it: moved by itself it says what
 * is the matter.
 */
import type { MemoryRun } from '../../base/physical-memory.ts';
import { PAGE_SIZE } from '../../base/u64.ts';
import type { ManyPlaces } from './process-memory.ts';
import { REGION_FRAMES, type PinRegion } from './pin-region.ts';

/** What is moved, and how far that has come. */
interface Gathered {
  memory: ManyPlaces | undefined;
  readonly places: number[];
  readonly lengths: number[];
}

/** How many of the runs, from `first` on, have moved. */
export function moveRuns(
  { runs, first }: { readonly runs: readonly MemoryRun[]; readonly first: number },
  bytes: Uint8Array,
  write: boolean,
  regionOf: (pfn: number) => PinRegion | undefined,
): number {
  const gathered: Gathered = { memory: undefined, places: [], lengths: [] };
  let end = first;
  while (end < runs.length && addRun(gathered, runs[end]!, write, regionOf)) end++;
  if (!gathered.memory || end === first) return 0;
  const { from } = runs[first]!;
  const { from: lastFrom, length } = runs[end - 1]!;
  const { memory, places, lengths } = gathered;
  const list = { bytes: bytes.subarray(from, lastFrom + length), places, lengths };
  const moved = memory.copy(list, write);
  let done = first;
  while (done < end && runs[done]!.from + runs[done]!.length <= from + moved) done++;
  return done - first;
}

/** False: it leads elsewhere, and nothing is added. */
function addRun(
  gathered: Gathered,
  run: MemoryRun,
  write: boolean,
  regionOf: (pfn: number) => PinRegion | undefined,
): boolean {
  const { places, lengths } = gathered;
  const before = places.length;
  for (let done = 0; done < run.length;) {
    const start = run.offset + done;
    const frame = run.pfn + Math.floor(start / PAGE_SIZE);
    const offset = start % PAGE_SIZE;
    const region = regionOf(frame);
    const many = region?.many(frame % REGION_FRAMES, write);
    if (!many || (gathered.memory && gathered.memory !== many.memory)) {
      places.length = lengths.length = before;
      return false;
    }
    gathered.memory ??= many.memory;
    const index = region!.firstIndex + (frame % REGION_FRAMES);
    const place = many.base + index * PAGE_SIZE + offset;
    const n = Math.min(run.length - done, PAGE_SIZE - offset);
    const last = places.length - 1;
    // Pages of a run that are neighbours are one piece; runs stay apart, to say how many have moved.
    if (last >= before && places[last]! + lengths[last]! === place) lengths[last]! += n;
    else {
      places.push(place);
      lengths.push(n);
    }
    done += n;
  }
  return true;
}
