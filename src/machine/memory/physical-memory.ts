/**
 * The physical address space of the simulated machine (vfio.md 7.2): RAM, device registers, pinned pages of programs.
 *
 *   frames 0 …              the simulated RAM: page tables and queues
 *   up to 4 GiB, and above  BARs, wherever the firmware put them
 *   from 256 GiB on         pages of programs, named by what they are pages of
 *
 * A page of a program gets its frame number from its identity: 1 GiB of an object (or of the private memory of one
 * address space) is one region of 2^18 frames, and a page keeps its place inside it. So neighbours stay neighbours,
 * alignment survives up to 1 GiB, large pages can be used, and naming a page is an addition.
 *
 * A pinned page can lose its name: the program unmaps it, and what it maps there next is another page. The frame stays
 * with the old page until its last pin goes; the new page is named in a further region for the same GiB.
 */
import { Bug } from '../../base/bug.ts';
import { EFAULT, ENOMEM, isErrno, type Result, type Status } from '../../base/errno.ts';
import type { MmioWindow } from '../../base/file.ts';
import type { MemoryRun, PhysicalMemory } from '../../base/physical-memory.ts';
import { refuse } from '../../base/refuse.ts';
import { PAGE_SIZE } from '../../base/u64.ts';
import { FRAME_WORDS, type Ram } from '../../pt/ram.ts';
import { moveRuns } from './move-runs.ts';
import {
  PinRegion,
  REGION_FRAMES,
  type Backing,
  type PinKind,
  type PinnedPage,
} from './pin-region.ts';

/** 256 GiB: below it RAM and BARs, above it pages of programs. */
export const FIRST_PINNED_PFN = 0x400_0000;
const FIRST_REGION = FIRST_PINNED_PFN / REGION_FRAMES;
const PAGE_LG2 = 12;

/** Whose pages: the private memory of one address space, or an object that several may map. */
export interface PageOwner {
  /** Region numbers by page index / REGION_FRAMES. More than one only while pages are pinned that lost their name. */
  readonly regions: Map<number, number[]>;
  readonly name: string;
  /** Regions of a live owner keep their numbers while nothing is pinned. */
  keepsFrames: boolean;
}

/** An owner of pages: an address space or an object. With `keepsFrames` its frames stay its own without a pin. */
export function newPageOwner(name: string, keepsFrames: boolean): PageOwner {
  return { regions: new Map(), name, keepsFrames };
}

/** All page frames of a machine, and who pins them. */
export class MachineMemory implements PhysicalMemory {
  readonly #ram: Ram;
  /** Above it there are no addresses. */
  readonly #lastRegion: number;
  /** Index: region number - FIRST_REGION. */
  readonly #regions: (PinRegion | undefined)[] = [];
  readonly #freeRegions: number[] = [];
  readonly #owners = new Map<PinRegion, PageOwner>();
  /** In order of frame number. */
  readonly #windows: MmioWindow[] = [];
  /** Pins of all frames together: zero when idle. */
  pinTotal = 0;
  /** Frames that have a pin. */
  pinnedFrames = 0;

  constructor(ram: Ram, addressLg2 = 52) {
    this.#ram = ram;
    this.#lastRegion = 2 ** (addressLg2 - PAGE_LG2) / REGION_FRAMES - 1;
  }

  read(pfn: number, offset: number, into: Uint8Array): Status<'EFAULT'> {
    return this.#access(pfn, offset, into, false);
  }
  write(pfn: number, offset: number, from: Uint8Array): Status<'EFAULT'> {
    return this.#access(pfn, offset, from, true);
  }

  moveRuns(runs: readonly MemoryRun[], first: number, bytes: Uint8Array, write: boolean): number {
    return moveRuns({ runs, first }, bytes, write, this.#regionAt);
  }

  addPin(pfn: number, count: number): void {
    this.#eachRegion(pfn, count, (region, at, n) => region.addPin(at, n));
    this.pinTotal += count;
  }
  /** No `dirty` mark is kept: a page of a program is written through to its owner at once. */
  unpin(pfn: number, count: number): void {
    this.#eachRegion(pfn, count, (region, at, n) => {
      this.pinnedFrames -= region.pinned;
      region.unpin(at, n);
      this.pinnedFrames += region.pinned;
      if (region.pinned === 0) this.#dropUnnamed(region);
    });
    this.pinTotal -= count;
  }
  pins(pfn: number): number {
    return this.#regionOf(pfn)?.pins(pfn % REGION_FRAMES) ?? 0;
  }
  isCompound(pfn: number): boolean {
    return this.#regionOf(pfn)?.isHuge(pfn % REGION_FRAMES) ?? false;
  }

  /** Frame number of page `index` of an owner, whether pinned or not. */
  pfnOf(owner: PageOwner, index: number): Result<number, 'ENOMEM'> {
    const region = this.#named(owner, index);
    if (isErrno(region)) return region;
    return region * REGION_FRAMES + (index % REGION_FRAMES);
  }

  /** The pinned pages `index`… that an owner still shows, until one is what is looked for. */
  somePinned(
    owner: PageOwner,
    span: { index: number; count: number },
    found: (page: PinnedPage) => boolean,
  ): boolean {
    const end = span.index + span.count;
    for (const [gib, numbers] of owner.regions) {
      const first = gib * REGION_FRAMES;
      const from = Math.max(span.index, first);
      const to = Math.min(end, first + REGION_FRAMES);
      for (const number of from < to ? numbers : []) {
        const region = this.#regions[number - FIRST_REGION]!;
        const pfn = number * REGION_FRAMES;
        const one = region.somePinned(from - first, to - first, (at, backing) => {
          return !region.isDetached(at) && found({ index: first + at, pfn: pfn + at, backing });
        });
        if (one) return true;
      }
    }
    return false;
  }
  /** The owner no longer shows the page of this frame, which is pinned: it loses its name, and may go another way. */
  detach(pfn: number, backing?: Backing): void {
    const region = this.#regionOf(pfn);
    if (!region) throw new Bug(`frame 0x${pfn.toString(16)} is not pinned`);
    region.detach(pfn % REGION_FRAMES, backing);
  }
  /** The pinned page of a program at a frame. */
  pinned(pfn: number): PinnedPage | undefined {
    const region = this.#regionOf(pfn);
    const backing = region?.backingOf(pfn % REGION_FRAMES);
    return backing && { pfn, index: region!.firstIndex + (pfn % REGION_FRAMES), backing };
  }

  /**
   * Pin pages `index`… of an owner, reached through `backing` (page numbers of the owner) while they have no other way.
   * The caller has proved that the pages exist, and may be written if that is what they are pinned for.
   */
  pin(
    owner: PageOwner,
    span: { index: number; count: number } & PinKind,
    backing: (index: number, count: number) => Backing,
    pfns: Float64Array,
    at: number,
  ): Status<'ENOMEM'> {
    let done = 0;
    try {
      while (done < span.count) {
        const index = span.index + done;
        const number = this.#named(owner, index);
        if (isErrno(number)) return number;
        const place = index % REGION_FRAMES;
        const limit = Math.min(span.count - done, REGION_FRAMES - place);
        const region = this.#regions[number - FIRST_REGION]!;
        const run = this.#sameRegion(owner, index, limit, number);
        const before = region.pinned;
        region.pin(place, run, span, (from, n) => backing(index - place + from, n));
        this.pinnedFrames += region.pinned - before;
        const first = number * REGION_FRAMES + place;
        for (let n = 0; n < run; n++) pfns[at + done + n] = first + n;
        this.pinTotal += run;
        done += run;
      }
      return undefined;
    } finally {
      for (let n = 0; done < span.count && n < done; n++) this.unpin(pfns[at + n]!, 1);
    }
  }

  /** The owner is gone: its names go with the last pin. */
  forget(owner: PageOwner): void {
    owner.keepsFrames = false;
    for (const number of [...owner.regions.values()].flat()) {
      const region = this.#regions[number - FIRST_REGION]!;
      if (region.pinned === 0) this.#dropUnnamed(region);
    }
  }

  /** Registers answer from now on; where they lie at the very place of others, those that were there first do. */
  addWindow(window: MmioWindow): void {
    this.#windows.push(window);
    this.#windows.sort((a, b) => a.pfn - b.pfn);
  }

  removeWindow(window: MmioWindow): void {
    const at = this.#windows.indexOf(window);
    if (at >= 0) this.#windows.splice(at, 1);
  }

  isRegisters(pfn: number): boolean {
    if (pfn < this.#ram.frameCount || pfn >= FIRST_PINNED_PFN) return false;
    return this.#window(pfn) !== undefined;
  }

  /** What lies at a frame, in words, for explanations. */
  describe(pfn: number): string | undefined {
    if (pfn < this.#ram.frameCount) return 'simulated RAM';
    const region = this.#regionOf(pfn);
    if (region && region.pins(pfn % REGION_FRAMES) > 0) {
      return `a pinned page of ${this.#owners.get(region)!.name}`;
    }
    return this.#window(pfn)?.name;
  }

  readonly #regionAt = (pfn: number): PinRegion | undefined => this.#regionOf(pfn);
  #regionOf(pfn: number): PinRegion | undefined {
    return this.#regions[Math.floor(pfn / REGION_FRAMES) - FIRST_REGION];
  }

  #eachRegion(
    pfn: number,
    count: number,
    visit: (region: PinRegion, at: number, count: number) => void,
  ): void {
    for (let done = 0; done < count;) {
      const region = this.#regionOf(pfn + done);
      if (!region) throw new Bug(`frame 0x${(pfn + done).toString(16)} is not pinned`);
      const at = (pfn + done) % REGION_FRAMES;
      const run = Math.min(count - done, REGION_FRAMES - at);
      visit(region, at, run);
      done += run;
    }
  }

  /** The region that names a page: the first in which that place is not taken by a page that lost its name. */
  #named(owner: PageOwner, index: number): Result<number, 'ENOMEM'> {
    const gib = Math.floor(index / REGION_FRAMES);
    const numbers = owner.regions.get(gib);
    const place = index % REGION_FRAMES;
    for (let n = 0; numbers && n < numbers.length; n++) {
      if (!this.#regions[numbers[n]! - FIRST_REGION]!.isDetached(place)) return numbers[n]!;
    }
    const number = this.#freeRegions.pop() ?? FIRST_REGION + this.#regions.length;
    if (number > this.#lastRegion) {
      return refuse(ENOMEM, 'the physical address space has no room for another GiB of pages');
    }
    const region = new PinRegion(gib * REGION_FRAMES);
    this.#regions[number - FIRST_REGION] = region;
    this.#owners.set(region, owner);
    if (numbers) numbers.push(number);
    else owner.regions.set(gib, [number]);
    return number;
  }
  /** How many pages from `index` on are named in that region too. */
  #sameRegion(owner: PageOwner, index: number, limit: number, number: number): number {
    const numbers = owner.regions.get(Math.floor(index / REGION_FRAMES))!;
    if (number === numbers[0] && this.#regions[number - FIRST_REGION]!.detached === 0) return limit;
    let run = 1;
    while (run < limit && this.#named(owner, index + run) === number) run++;
    return run;
  }

  #dropUnnamed(region: PinRegion): void {
    const owner = this.#owners.get(region)!;
    const gib = region.firstIndex / REGION_FRAMES;
    const numbers = owner.regions.get(gib)!;
    if (owner.keepsFrames && numbers.length === 1) return;
    const at = numbers.findIndex((n) => this.#regions[n - FIRST_REGION] === region);
    const [number] = numbers.splice(at, 1);
    if (numbers.length === 0) owner.regions.delete(gib);
    this.#owners.delete(region);
    this.#regions[number! - FIRST_REGION] = undefined;
    this.#freeRegions.push(number!);
  }

  #access(pfn: number, offset: number, bytes: Uint8Array, write: boolean): Status<'EFAULT'> {
    const inFrame = PAGE_SIZE - offset;
    if (bytes.length <= inFrame) return this.#run(pfn, offset, bytes, write);
    if (pfn >= FIRST_PINNED_PFN) return this.#pinnedAccess(pfn, offset, bytes, write);
    // RAM and registers: frame by frame, since one may end where the other begins.
    for (let done = 0; done < bytes.length;) {
      const start = offset + done;
      const frame = pfn + Math.floor(start / PAGE_SIZE);
      const at = start % PAGE_SIZE;
      const n = Math.min(bytes.length - done, PAGE_SIZE - at);
      const rc = this.#run(frame, at, bytes.subarray(done, done + n), write);
      if (rc) return rc;
      done += n;
    }
    return undefined;
  }

  #run(pfn: number, offset: number, bytes: Uint8Array, write: boolean): Status<'EFAULT'> {
    if (pfn < this.#ram.frameCount) {
      const at = pfn * FRAME_WORDS * 4 + offset;
      if (write) this.#ram.bytes.set(bytes, at);
      else bytes.set(this.#ram.bytes.subarray(at, at + bytes.length));
      return undefined;
    }
    if (pfn >= FIRST_PINNED_PFN) return this.#pinnedAccess(pfn, offset, bytes, write);
    const window = this.#window(pfn);
    if (!window) return nothingThere(pfn);
    return windowAccess(window, (pfn - window.pfn) * PAGE_SIZE + offset, bytes, write);
  }

  #pinnedAccess(pfn: number, offset: number, bytes: Uint8Array, write: boolean): Status<'EFAULT'> {
    let done = 0;
    while (done < bytes.length) {
      const start = offset + done;
      const frame = pfn + Math.floor(start / PAGE_SIZE);
      const region = this.#regionOf(frame);
      if (!region) return nothingThere(frame);
      const n = region.access(frame % REGION_FRAMES, start % PAGE_SIZE, bytes, done, write);
      if (isErrno(n)) return n;
      if (n === 0) return nothingThere(frame);
      done += n;
    }
    return undefined;
  }

  #window(pfn: number): MmioWindow | undefined {
    return this.#windows.find((w) => pfn >= w.pfn && pfn < w.pfn + framesOf(w));
  }
}

function nothingThere(pfn: number): ReturnType<typeof refuse<typeof EFAULT>> {
  return refuse(EFAULT, 'nothing answers at this physical address', {
    pa: '0x' + (BigInt(pfn) << 12n).toString(16),
  });
}

function framesOf(window: MmioWindow): number {
  return Math.ceil(window.length / PAGE_SIZE);
}

/** Bus cycles to registers: dwords where aligned, bytes at the edges (PCI peer-to-peer). */
function windowAccess(
  window: MmioWindow,
  offset: number,
  bytes: Uint8Array,
  write: boolean,
): Status<'EFAULT'> {
  if (offset + bytes.length > window.length) {
    return refuse(EFAULT, 'the access leaves the BAR', { bar: window.name, offset });
  }
  for (let done = 0; done < bytes.length;) {
    const at = offset + done;
    const width = at % 4 === 0 && bytes.length - done >= 4 ? 4 : 1;
    if (write) window.store(at, width, littleEndian(bytes, done, width));
    else putLittleEndian(bytes, done, width, window.load(at, width));
    done += width;
  }
  return undefined;
}

function littleEndian(bytes: Uint8Array, at: number, width: number): bigint {
  let value = 0n;
  for (let n = width - 1; n >= 0; n--) value = (value << 8n) | BigInt(bytes[at + n]!);
  return value;
}

function putLittleEndian(bytes: Uint8Array, at: number, width: number, value: bigint): void {
  for (let n = 0; n < width; n++) bytes[at + n] = Number((value >> BigInt(8 * n)) & 0xffn);
}
