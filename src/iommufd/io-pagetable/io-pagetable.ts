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
  type Status,
} from '../../base/errno.ts';
import { bugOn } from '../../base/bug.ts';
import { IntervalMap } from '../../base/interval-map.ts';
import { Lock } from '../../base/lock.ts';
import { refuse } from '../../base/refuse.ts';
import { hex } from '../../base/u64.ts';
import {
  addPair,
  hiWord,
  joinWords,
  lessPair,
  loWord,
  PAIR,
  subPair,
} from '../../base/word-pair.ts';
import { IOMMU_WRITE } from '../../pt/page-table.ts';
import type { Domain } from '../../core/contract/domain.ts';
import { Area, type Piece } from './area.ts';
import { fillArea, unfillArea, unmapArea } from './fill.ts';
import { allocIova, type Placement } from './iova-alloc.ts';
import { IovaRules, overlaps, type IovaRange } from './reserved.ts';

/** An in-kernel user of an IOAS: an access. */
export interface IopagetableUser {
  /** Not asked to let go: it locks what it pins. */
  readonly internal: boolean;
  readonly alignment: number;
  /** Unpin everything in the range before returning. */
  notifyUnmap(iova: bigint, length: bigint): void;
}
/** A part of what is mapped: `spanHi:spanLo` is its length minus one. */
export interface SizedPiece extends Piece {
  readonly spanHi: number;
  readonly spanLo: number;
}

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

  /** Start of the last area mapped. */
  mappedHi = 0;
  mappedLo = 0;

  /**
   * Map pieces one after the other at one place.
   * Errnos: EINVAL EOVERFLOW EEXIST ENOSPC of the placement; EPERM; then those of filling: EFAULT ENOMEM …
   * @kernel iopt_map_pages
   */
  mapPages(place: Placement, pieces: readonly SizedPiece[]): Status {
    this.iovaLock.hold();
    try {
      return this.#place(place) ?? this.#addAreas(place.prot, pieces);
    } finally {
      this.iovaLock.release();
    }
  }
  /** The same for one piece, which is what every map but a copy has. @kernel iopt_map_pages */
  mapPiece(place: Placement, piece: Piece): Status {
    this.iovaLock.hold();
    try {
      return this.#place(place) ?? this.#addOne(place, piece);
    } finally {
      this.iovaLock.release();
    }
  }

  /** iopt_alloc_area_pages' checks: length, then the address, given or found. */
  #place(place: Placement): Status {
    const mask = this.alignment - 1;
    if (((place.spanLo + 1) & mask) !== 0) {
      return refuse(EINVAL, 'the length is not a multiple of the IOVA alignment', {
        alignment: this.alignment,
      });
    }
    if (!place.fixed) return this.#allocate(place);
    if ((place.iovaLo & mask) !== 0) {
      return refuse(EINVAL, 'the IOVA is not aligned', {
        iova: hex(joinWords(place.iovaHi, place.iovaLo)),
        alignment: this.alignment,
      });
    }
    if (addPair(place.iovaHi, place.iovaLo, place.spanHi, place.spanLo)) {
      return refuse(EOVERFLOW, 'the IOVA range wraps');
    }
    const lastHi = PAIR.hi;
    const lastLo = PAIR.lo;
    for (const r of this.rules.reservedSpans) {
      const apart =
        lessPair(lastHi, lastLo, r.startHi, r.startLo) ||
        lessPair(r.lastHi, r.lastLo, place.iovaHi, place.iovaLo);
      if (apart) continue;
      return refuse(EINVAL, 'the IOVA range meets a reserved range', {
        iova: hex(joinWords(place.iovaHi, place.iovaLo)),
        reserved: `${hex(joinWords(r.startHi, r.startLo))}-${hex(joinWords(r.lastHi, r.lastLo))}`,
      });
    }
    const there = this.areas.seek(place.iovaHi, place.iovaLo);
    if (there && !lessPair(lastHi, lastLo, there.startHi, there.startLo)) {
      return refuse(EEXIST, 'the IOVA range meets a mapping', {
        iova: hex(joinWords(place.iovaHi, place.iovaLo)),
        mapping: hex(joinWords(there.startHi, there.startLo)),
      });
    }
    this.mappedHi = place.iovaHi;
    this.mappedLo = place.iovaLo;
    return undefined;
  }

  #allocate(place: Placement): Status {
    const rc = allocIova(this.areas, this.rules.allowedSpans(), place, this.alignment);
    if (rc) return rc;
    this.mappedHi = this.areas.foundHi;
    this.mappedLo = this.areas.foundLo;
    return undefined;
  }

  #addOne(place: Placement, piece: Piece): Status {
    const rc = this.#checkPiece(place.prot, piece);
    if (rc) return rc;
    const { mappedHi, mappedLo } = this;
    addPair(mappedHi, mappedLo, place.spanHi, place.spanLo);
    const area = new Area(mappedHi, mappedLo, PAIR.hi, PAIR.lo, piece, place.prot);
    this.#insert(area);
    if (this.domains.length === 0) return undefined;
    const failed = fillArea(area, this.domains, !this.largePages);
    if (failed) this.#forget(area);
    return failed;
  }
  /** One after the other from the place found on; all of them or none. */
  #addAreas(prot: number, pieces: readonly SizedPiece[]): Status {
    const made: Area[] = [];
    let failed: Status;
    let hi = this.mappedHi;
    let lo = this.mappedLo;
    for (const piece of pieces) {
      failed = this.#checkPiece(prot, piece);
      if (failed) break;
      addPair(hi, lo, piece.spanHi, piece.spanLo);
      const area = new Area(hi, lo, PAIR.hi, PAIR.lo, piece, prot);
      this.#insert(area);
      made.push(area);
      addPair(area.lastHi, area.lastLo, 0, 1);
      hi = PAIR.hi;
      lo = PAIR.lo;
    }
    for (const area of this.domains.length > 0 ? made : []) {
      failed ??= fillArea(area, this.domains, !this.largePages);
    }
    if (failed) for (const area of made.reverse()) this.#forget(area);
    return failed;
  }
  #checkPiece(prot: number, piece: Piece): Status {
    if ((prot & IOMMU_WRITE) !== 0 && !piece.pages.writable) {
      return refuse(
        EPERM,
        'the memory was mapped read-only first, it cannot be written through a copy',
      );
    }
    if ((piece.pageOffset & (this.alignment - 1)) !== 0) {
      return refuse(EINVAL, 'the offset in the page does not fit the IOVA alignment', {
        offset: piece.pageOffset,
        alignment: this.alignment,
      });
    }
    return undefined;
  }
  #insert(area: Area): void {
    const { startHi, startLo, lastHi, lastLo, pages } = area;
    const fits = this.areas.insert(startHi, startLo, lastHi, lastLo, area);
    bugOn(!fits, 'the place found for an area is taken');
    if (pages.isDmabuf) pages.join(area, () => this.#evacuate(area));
  }
  /** A dma-buf was revoked. */
  #evacuate(area: Area): void {
    if (area.storageDomain) for (const domain of this.domains) unmapArea(area, domain);
  }
  /** Take an area out of every domain and out of the table. */
  #forget(area: Area): void {
    unfillArea(area, this.domains);
    this.areas.erase(area.startHi, area.startLo);
    area.pages.leave(area);
  }

  /**
   * Remove every area in a range; none may stick out of it. Bytes removed so far are in unmappedHi, unmappedLo, also on
   * an error. Errnos: EBUSY ENOENT EDEADLK; ENOENT when there was nothing and `mustExist`.
   * @kernel iopt_unmap_iova_range
   */
  unmapRange(
    startHi: number,
    startLo: number,
    lastHi: number,
    lastLo: number,
    mustExist: boolean,
  ): Status {
    this.unmappedHi = 0;
    this.unmappedLo = 0;
    let removed = 0;
    let rounds = 0;
    for (;;) {
      const area = this.areas.seek(startHi, startLo);
      if (!area || lessPair(lastHi, lastLo, area.startHi, area.startLo)) break;
      const rc = this.#mayRemove(area, startHi, startLo, lastHi, lastLo);
      if (rc) return rc;
      if (area.numAccesses > 0) {
        if (++rounds > 100) {
          area.preventAccess = false;
          return refuse(EDEADLK, 'an in-kernel user does not let go of the mapping');
        }
        area.preventAccess = true;
        this.#askAccesses(area);
        continue;
      }
      rounds = 0;
      this.#remove(area);
      removed++;
    }
    if (removed === 0 && mustExist) {
      return refuse(ENOENT, 'nothing is mapped in the range', {
        start: hex(joinWords(startHi, startLo)),
        last: hex(joinWords(lastHi, lastLo)),
      });
    }
    return undefined;
  }
  unmappedHi = 0;
  unmappedLo = 0;

  #remove(area: Area): void {
    this.iovaLock.hold();
    try {
      this.#forget(area);
    } finally {
      this.iovaLock.release();
    }
    subPair(area.lastHi, area.lastLo, area.startHi, area.startLo);
    addPair(PAIR.hi, PAIR.lo, 0, 1);
    addPair(this.unmappedHi, this.unmappedLo, PAIR.hi, PAIR.lo);
    this.unmappedHi = PAIR.hi;
    this.unmappedLo = PAIR.lo;
  }
  #mayRemove(area: Area, startHi: number, startLo: number, lastHi: number, lastLo: number): Status {
    if (area.numLocks > 0) {
      return refuse(EBUSY, 'the mapping is locked by a hardware queue', {
        iova: hex(joinWords(area.startHi, area.startLo)),
      });
    }
    const sticksOut =
      lessPair(area.startHi, area.startLo, startHi, startLo) ||
      lessPair(lastHi, lastLo, area.lastHi, area.lastLo);
    if (!sticksOut) return undefined;
    return refuse(ENOENT, 'the range covers a mapping only in part', {
      iova: hex(joinWords(area.startHi, area.startLo)),
      last: hex(joinWords(area.lastHi, area.lastLo)),
    });
  }
  #askAccesses(area: Area): void {
    const start = joinWords(area.startHi, area.startLo);
    const length = joinWords(area.lastHi, area.lastLo) - start + 1n;
    for (const access of [...this.accesses]) {
      if (!access.internal) access.notifyUnmap(start, length);
    }
  }

  /** @kernel iopt_unmap_all */
  unmapAll(): Status {
    return this.unmapRange(0, 0, 0xffff_ffff, 0xffff_ffff, false);
  }

  /**
   * Reserve a range for an owner.
   * Errnos: EADDRINUSE a mapping or an allowed range is there.
   * @kernel iopt_reserve_iova
   */
  reserveIova(range: IovaRange, owner: object | undefined): Status {
    const area = this.areas.seek(hiWord(range.start), loWord(range.start));
    if (area && joinWords(area.startHi, area.startLo) <= range.last) {
      return refuse(EADDRINUSE, 'a mapping lies in the range to reserve', {
        start: hex(range.start),
        last: hex(range.last),
        mapping: hex(joinWords(area.startHi, area.startLo)),
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
          iova: hex(joinWords(area.startHi, area.startLo)),
          alignment,
        });
      }
    }
    this.alignment = alignment;
    return undefined;
  }
}
