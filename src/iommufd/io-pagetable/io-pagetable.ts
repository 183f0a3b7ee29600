/**
 * The io_pagetable of an IOAS: areas, reserved and allowed ranges, the domains that mirror the areas (iommufd.md chapter 3).
 */
import {
  EADDRINUSE,
  EBUSY,
  EDEADLK,
  EEXIST,
  EINVAL,
  ENOENT,
  EOVERFLOW,
  EPERM,
  isErrno,
  type Result,
  type Status,
} from '../../base/errno.ts';
import { bugOn } from '../../base/bug.ts';
import { IntervalMap } from '../../base/interval-map.ts';
import { Lock } from '../../base/lock.ts';
import { refuse } from '../../base/refuse.ts';
import { hex, hexRange, PAGE_SIZE, U64_MAX } from '../../base/u64.ts';
import {
  hiWord,
  joinWords,
  lessPair,
  loWord,
  registerOf,
  U64Register,
  type WordPair,
} from '../../base/word-pair.ts';
import { IOMMU_WRITE } from '../../pt/page-table.ts';
import type { Domain } from '../../core/contract/domain.ts';
import { Area, type Piece } from './area.ts';
import { fillArea, unfillArea, unmapArea } from './fill.ts';
import { findPlace, type Placement } from './iova-alloc.ts';
import type { IovaRange } from '../../base/iova-range.ts';
import { IovaRules, overlaps, type WordRange } from './reserved.ts';

/** An in-kernel user of an IOAS: an access. */
export interface IopagetableUser {
  /** Not asked to let go: it locks what it pins. */
  readonly internal: boolean;
  readonly alignment: number;
  /** Unpin everything in the range before returning. */
  notifyUnmap(iova: bigint, length: bigint): void;
}
/** A part of what is mapped, and how long it is. */
export interface SizedPiece extends Piece {
  /** Length minus one. */
  readonly span: WordPair;
}

const FIRST_IOVA: WordPair = registerOf(0n);
const LAST_IOVA: WordPair = registerOf(U64_MAX);
/** How often an access is asked to let go of a mapping before the unmap gives up. */
const MAX_UNMAP_ROUNDS = 100;

export class IoPagetable {
  readonly areas = new IntervalMap<Area>();
  readonly rules = new IovaRules();
  /** Dense; a removed one is replaced by the last. */
  readonly domains: Domain[] = [];
  readonly accesses = new Set<IopagetableUser>();
  /** In bytes, 1 … 4096. */
  alignment = 1;
  largePages = true;
  readonly iovaLock = new Lock('iopt.iova_rwsem');

  /** Last byte of the mapping being made; nothing is kept in it from one call to the next. */
  readonly #last = new U64Register();

  /**
   * Map pieces one after the other at one place, whose `iova` then says where.
   * Errnos: EINVAL EOVERFLOW EEXIST ENOSPC of the placement; EPERM; then those of filling: EFAULT ENOMEM …
   * @kernel iopt_map_pages
   */
  mapPages(place: Placement, pieces: readonly SizedPiece[]): Status {
    this.iovaLock.hold();
    try {
      return this.#find(place) ?? this.#addAreas(place, pieces);
    } finally {
      this.iovaLock.release();
    }
  }
  /** The same for one piece, which is what every map but a copy has. @kernel iopt_map_pages */
  mapPiece(place: Placement, piece: Piece): Status {
    this.iovaLock.hold();
    try {
      return this.#find(place) ?? this.#addOne(place, piece);
    } finally {
      this.iovaLock.release();
    }
  }

  /** iopt_alloc_area_pages' checks: length, then the address, given or found. #last is then its last byte. */
  #find(place: Placement): Status {
    const { iova, span } = place;
    const mask = this.alignment - 1;
    if (((span.lo + 1) & mask) !== 0) {
      return refuse(EINVAL, 'the length is not a multiple of the IOVA alignment', {
        last: hex(span.value),
        alignment: this.alignment,
      });
    }
    if (!place.fixed) return this.#allocate(place);
    if ((iova.lo & mask) !== 0) {
      return refuse(EINVAL, 'the IOVA is not aligned', {
        iova: hex(iova.value),
        alignment: this.alignment,
      });
    }
    if (this.#last.copy(iova).plus(span)) {
      return refuse(EOVERFLOW, 'the IOVA range wraps', {
        iova: hex(iova.value),
        length: hex(span.value + 1n),
      });
    }
    return this.#checkFree(iova, this.#last);
  }
  #allocate(place: Placement): Status {
    const rc = findPlace(this.areas, this.rules.allowedWindows(), place, this.alignment);
    if (rc) return rc;
    this.#last.copy(place.iova).plus(place.span);
    return undefined;
  }
  #checkFree(iova: U64Register, { hi: lastHi, lo: lastLo }: WordPair): Status {
    const { hi, lo } = iova;
    for (const r of this.rules.reservedWords) {
      const apart =
        lessPair(lastHi, lastLo, r.start.hi, r.start.lo) || lessPair(r.last.hi, r.last.lo, hi, lo);
      if (!apart) return refuseReserved(iova, r);
    }
    const there = this.areas.seek(hi, lo);
    if (!there || lessPair(lastHi, lastLo, there.startHi, there.startLo)) return undefined;
    return refuse(EEXIST, 'the IOVA range meets a mapping', {
      iova: hex(iova.value),
      mapping: hex(there.start),
    });
  }

  #addOne(place: Placement, piece: Piece): Status {
    const rc = this.#checkPiece(place.prot, piece);
    if (rc) return rc;
    const area = new Area(place.iova, this.#last, piece, place.prot);
    this.#insert(area);
    if (this.domains.length === 0) return undefined;
    const failed = fillArea(area, this.domains, !this.largePages);
    if (failed) this.#forget(area);
    return failed;
  }
  /** One after the other from the place found on; all of them or none. */
  #addAreas({ iova, prot }: Placement, pieces: readonly SizedPiece[]): Status {
    const made: Area[] = [];
    let failed: Status;
    const start = new U64Register().copy(iova);
    const last = this.#last;
    for (const piece of pieces) {
      failed = this.#checkPiece(prot, piece);
      if (failed) break;
      last.copy(start).plus(piece.span);
      const area = new Area(start, last, piece, prot);
      this.#insert(area);
      made.push(area);
      start.copy(last).increment();
    }
    for (const area of this.domains.length > 0 ? made : []) {
      failed ??= fillArea(area, this.domains, !this.largePages);
    }
    if (failed) for (const area of made.reverse()) this.#forget(area);
    return failed;
  }
  #checkPiece(prot: number, piece: Piece): Status {
    if ((prot & IOMMU_WRITE) !== 0 && !piece.memory.writable) {
      return refuse(
        EPERM,
        'the memory was mapped read-only first, it cannot be written through a copy',
        { prot },
      );
    }
    if ((piece.from.lo & (this.alignment - 1)) !== 0) {
      return refuse(EINVAL, 'the offset in the page does not fit the IOVA alignment', {
        offset: piece.from.lo & (PAGE_SIZE - 1),
        alignment: this.alignment,
      });
    }
    return undefined;
  }
  #insert(area: Area): void {
    const { startHi, startLo, lastHi, lastLo } = area;
    const fits = this.areas.insert(startHi, startLo, lastHi, lastLo, area);
    bugOn(!fits, 'the place found for an area is taken');
    if (area.isDmabuf) area.pages.join(area, () => this.#evacuate(area));
  }
  /** A dma-buf was revoked. */
  #evacuate(area: Area): void {
    if (area.storageDomain) for (const domain of this.domains) unmapArea(area, domain);
  }
  /** Take an area out of every domain and out of the table. */
  #forget(area: Area): void {
    unfillArea(area, this.domains);
    this.areas.erase(area.startHi, area.startLo);
    if (area.isDmabuf) area.pages.leave(area);
  }

  /**
   * Remove every area in a range; none may stick out of it. `unmapped` counts the bytes removed, also on an error.
   * Errnos: EBUSY ENOENT EDEADLK; ENOENT also when there was nothing.
   * @kernel iopt_unmap_iova
   */
  unmapRange(start: WordPair, last: WordPair, unmapped: U64Register): Status {
    const removed = this.#removeAreas(start, last, unmapped);
    if (isErrno(removed)) return removed;
    if (removed > 0) return undefined;
    return refuse(ENOENT, 'nothing is mapped in the range', {
      start: hex(joinWords(start.hi, start.lo)),
      last: hex(joinWords(last.hi, last.lo)),
    });
  }
  /**
   * Remove every area in a range, where there may be none. `unmapped` as in unmapRange().
   * Errnos: EBUSY EDEADLK; ENOENT an area sticks out.
   * @kernel iopt_unmap_iova_range
   */
  unmapAny(start: WordPair, last: WordPair, unmapped: U64Register): Status {
    const removed = this.#removeAreas(start, last, unmapped);
    return isErrno(removed) ? removed : undefined;
  }
  /** `unmapped` as in unmapRange(). Errnos: EBUSY EDEADLK. @kernel iopt_unmap_all */
  unmapAll(unmapped: U64Register): Status {
    return this.unmapAny(FIRST_IOVA, LAST_IOVA, unmapped);
  }

  /** How many areas. */
  #removeAreas(start: WordPair, last: WordPair, unmapped: U64Register): Result<number> {
    const { hi: startHi, lo: startLo } = start;
    const { hi: lastHi, lo: lastLo } = last;
    unmapped.set(0, 0);
    let removed = 0;
    let rounds = 0;
    for (;;) {
      const area = this.areas.seek(startHi, startLo);
      if (!area || lessPair(lastHi, lastLo, area.startHi, area.startLo)) return removed;
      if (area.numLocks > 0) return refuseLocked(area);
      const sticksOut =
        lessPair(area.startHi, area.startLo, startHi, startLo) ||
        lessPair(lastHi, lastLo, area.lastHi, area.lastLo);
      if (sticksOut) return refusePart(area);
      if (area.numAccesses > 0) {
        if (++rounds > MAX_UNMAP_ROUNDS) return refuseHeld(area);
        area.prevent(true);
        this.#askAccesses(area);
        continue;
      }
      rounds = 0;
      this.#remove(area);
      area.addLengthTo(unmapped);
      removed++;
    }
  }
  #remove(area: Area): void {
    this.iovaLock.hold();
    try {
      this.#forget(area);
    } finally {
      this.iovaLock.release();
    }
  }
  #askAccesses(area: Area): void {
    const { start } = area;
    const length = area.last - start + 1n;
    for (const access of [...this.accesses]) {
      if (!access.internal) access.notifyUnmap(start, length);
    }
  }

  /**
   * Reserve a range for an owner.
   * Errnos: EADDRINUSE a mapping or an allowed range is there.
   * @kernel iopt_reserve_iova
   */
  reserveIova(range: IovaRange, owner: object | undefined): Status {
    const area = this.areas.seek(hiWord(range.start), loWord(range.start));
    if (area && area.start <= range.last) {
      return refuse(EADDRINUSE, 'a mapping lies in the range to reserve', {
        start: hex(range.start),
        last: hex(range.last),
        mapping: hex(area.start),
      });
    }
    if (this.rules.allowed.some((r) => overlaps(r, range))) {
      return refuse(EADDRINUSE, 'an allowed range lies in the range to reserve', {
        start: hex(range.start),
        last: hex(range.last),
      });
    }
    this.rules.reserve(range, owner);
    return undefined;
  }
  /**
   * Replace the allowed list.
   * Errnos: EADDRINUSE an element meets a reserved range; the old list stays.
   * @kernel iopt_set_allow_iova
   */
  setAllowIova(ranges: readonly IovaRange[]): Status {
    const bad = ranges.find((r) => this.rules.isReserved(r));
    if (bad) {
      return refuse(EADDRINUSE, 'a reserved range lies in the range to allow', {
        start: hex(bad.start),
        last: hex(bad.last),
      });
    }
    this.rules.setAllowed(ranges);
    return undefined;
  }

  /** Raise or lower the alignment; every area must fit a higher one. @kernel iopt_check_iova_alignment */
  setAlignment(alignment: number): Status {
    if (alignment > this.alignment) {
      const mask = alignment - 1;
      for (const area of this.areas.values()) {
        if (((area.startLo | (area.lastLo + 1) | area.pageOffset) & mask) === 0) continue;
        return refuse(EADDRINUSE, 'a mapping does not fit the higher IOVA alignment', {
          iova: hex(area.start),
          alignment,
        });
      }
    }
    this.alignment = alignment;
    return undefined;
  }
}

function refuseReserved(iova: U64Register, { start, last }: WordRange): Status {
  return refuse(EINVAL, 'the IOVA range meets a reserved range', {
    iova: hex(iova.value),
    reserved: hexRange(joinWords(start.hi, start.lo), joinWords(last.hi, last.lo)),
  });
}
function refuseLocked(area: Area): typeof EBUSY {
  return refuse(EBUSY, 'the mapping is locked by a hardware queue', { iova: hex(area.start) });
}
function refusePart(area: Area): typeof ENOENT {
  return refuse(ENOENT, 'the range covers a mapping only in part', {
    iova: hex(area.start),
    last: hex(area.last),
  });
}
function refuseHeld(area: Area): typeof EDEADLK {
  area.prevent(false);
  return refuse(EDEADLK, 'an in-kernel user does not let go of the mapping', {
    iova: hex(area.start),
  });
}
