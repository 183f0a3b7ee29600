/** Commands that map and unmap in an IOAS (iommufd.md 2.4-2.7). */
import {
  EBADF,
  EINVAL,
  ENODEV,
  ENOENT,
  EOPNOTSUPP,
  EOVERFLOW,
  isErrno,
  type Result,
  type Status,
} from '../base/errno.ts';
import { ForeignFile } from '../base/file.ts';
import type { KernelEnv } from '../base/kernel-env.ts';
import { refuse } from '../base/refuse.ts';
import type { Task } from '../base/task.ts';
import { hex, U64_MAX } from '../base/u64.ts';
import {
  addPair,
  hiWord,
  joinWords,
  lessPair,
  loWord,
  pageOf,
  PAIR,
  subPair,
} from '../base/word-pair.ts';
import { IOMMU_CACHE, IOMMU_READ, IOMMU_WRITE } from '../pt/page-table.ts';
import {
  iommu_ioas_copy as copyLayout,
  iommu_ioas_map as mapLayout,
  iommu_ioas_map_file as mapFileLayout,
  iommu_ioas_unmap as unmapLayout,
  IOMMU_IOAS_MAP_FIXED_IOVA,
  IOMMU_IOAS_MAP_READABLE,
  IOMMU_IOAS_MAP_WRITEABLE,
  type iommu_ioas_copy,
  type iommu_ioas_map,
  type iommu_ioas_map_file,
  type iommu_ioas_unmap,
} from '../uapi/iommufd.ts';
import { TEST_COPY_FLAG_SYZ } from '../uapi/iommufd-test.ts';
import type { Area } from './io-pagetable/area.ts';
import type { IommufdContext } from './context.ts';
import { Dmabuf } from './io-pagetable/dmabuf.ts';
import type { IoPagetable, SizedPiece } from './io-pagetable/io-pagetable.ts';
import { Ioas } from './ioas.ts';
import type { Ucmd } from './ioctl.ts';
import type { Placement } from './io-pagetable/iova-alloc.ts';
import { Pages, type PageOrigin } from './io-pagetable/pages.ts';

const KNOWN_FLAGS = IOMMU_IOAS_MAP_FIXED_IOVA | IOMMU_IOAS_MAP_WRITEABLE | IOMMU_IOAS_MAP_READABLE;
const ALL_ONES = 0xffff_ffff;
/** Word numbers of fields; of a u64 the low word, the high one follows. */
const MAP = words(mapLayout.offsets);
const MAP_FILE = words(mapFileLayout.offsets);
const COPY = words(copyLayout.offsets);
const UNMAP = words(unmapLayout.offsets);

function words<Names extends string>(offsets: Readonly<Record<Names, number>>) {
  // cast: every name has got its word
  return Object.fromEntries(
    Object.entries<number>(offsets).map(([name, at]) => [name, at >> 2]),
  ) as Record<Names, number>;
}

export function protOf(flags: number): number {
  let prot = IOMMU_CACHE;
  if (flags & IOMMU_IOAS_MAP_WRITEABLE) prot |= IOMMU_WRITE;
  if (flags & IOMMU_IOAS_MAP_READABLE) prot |= IOMMU_READ;
  return prot;
}

function checkFlags(flags: number): Status {
  if ((flags & ~KNOWN_FLAGS) === 0) return undefined;
  return refuse(EOPNOTSUPP, 'unknown flag', { flags });
}
function checkAccess(flags: number): Status {
  if ((flags & (IOMMU_IOAS_MAP_WRITEABLE | IOMMU_IOAS_MAP_READABLE)) !== 0) return undefined;
  return refuse(EINVAL, 'neither READABLE nor WRITEABLE was asked for');
}
function allOnes(u: Uint32Array, at: number): boolean {
  return u[at] === ALL_ONES && u[at + 1] === ALL_ONES;
}
function refuseWrap(): Status {
  return refuse(EOVERFLOW, 'the address or the length is 2^64-1, or the range wraps');
}

/** @kernel iommufd_ioas_map */
export function ioasMap(ucmd: Ucmd<iommu_ioas_map>): Status {
  const { ctx, words: u } = ucmd;
  const flags = u[MAP.flags]!;
  const unknown = checkFlags(flags);
  if (unknown) return unknown;
  if (u[MAP.__reserved] !== 0) return refuse(EOPNOTSUPP, 'the reserved field is not 0');
  if (allOnes(u, MAP.iova) || allOnes(u, MAP.length)) return refuseWrap();
  const rc = checkAccess(flags);
  if (rc) return rc;
  const ioas = ctx.objects.get(u[MAP.ioas_id]!, Ioas);
  if (isErrno(ioas)) return ioas;
  const vaHi = u[MAP.user_va + 1]!;
  const vaLo = u[MAP.user_va]!;
  const { env } = ctx.subsystem;
  const bad = checkUserRange(vaHi, vaLo, u[MAP.length + 1]!, u[MAP.length]!, env);
  if (bad) return bad;
  const failed = mapUserPages(ctx, ucmd.task, ioas.iopt, {
    fixed: (flags & IOMMU_IOAS_MAP_FIXED_IOVA) !== 0,
    iovaHi: u[MAP.iova + 1]!,
    iovaLo: u[MAP.iova]!,
    hintHi: vaHi,
    hintLo: vaLo,
    spanHi: PAIR.hi,
    spanLo: PAIR.lo,
    prot: protOf(flags),
  });
  if (failed) return failed;
  u[MAP.iova] = ioas.iopt.mappedLo;
  u[MAP.iova + 1] = ioas.iopt.mappedHi;
  return ucmd.respond();
}

/** A range of the caller's memory: its length minus one into PAIR. Errnos: EOVERFLOW EINVAL. */
export function checkUserRange(
  vaHi: number,
  vaLo: number,
  lengthHi: number,
  lengthLo: number,
  env: KernelEnv,
): Status {
  const tooLong = lengthHi === ALL_ONES && lengthLo > ALL_ONES - 4096;
  const wraps = addPair(vaHi, vaLo, lengthHi, lengthLo);
  if (wraps && !(tooLong && env.has('map-length-first'))) return refuseWrap();
  if ((lengthHi === 0 && lengthLo === 0) || tooLong) {
    return refuse(EINVAL, 'the length is 0 or leaves no room for a page');
  }
  subPair(lengthHi, lengthLo, 0, 1);
  return undefined;
}

/**
 * Map memory of the caller, whose address is the hint of the placement; the IOVA is then in mappedHi, mappedLo of the
 * table. Errnos: those of IoPagetable.mapPages.
 * @kernel iopt_map_user_pages
 */
export function mapUserPages(
  ctx: IommufdContext,
  task: Task,
  iopt: IoPagetable,
  place: Placement,
): Status {
  const pageOffset = place.hintLo & 0xfff;
  const pages = new Pages(ctx.subsystem, task, {
    origin: ctx.userOrigin(task.mm),
    firstPage: pageOf(place.hintHi, place.hintLo),
    npages: pageCount(pageOffset, place.spanHi, place.spanLo),
    writable: (place.prot & IOMMU_WRITE) !== 0,
    accountMode: ctx.accountMode,
  });
  return iopt.mapPiece(place, { pages, firstIndex: 0, pageOffset });
}

/** Pages that a length of span + 1 touches from an offset in its first page on. */
function pageCount(pageOffset: number, spanHi: number, spanLo: number): number {
  return spanHi * 0x10_0000 + Math.floor((spanLo + pageOffset) / 4096) + 1;
}

/** @kernel iommufd_ioas_map_file */
export function ioasMapFile(ucmd: Ucmd<iommu_ioas_map_file>): Status {
  const { cmd, ctx, task, words: u } = ucmd;
  const flags = cmd.flags;
  const early = checkFlags(flags);
  if (early) return early;
  if (allOnes(u, MAP_FILE.iova) || allOnes(u, MAP_FILE.length)) return refuseWrap();
  const rc = checkAccess(flags);
  if (rc) return rc;
  const ioas = ctx.objects.get(cmd.ioas_id, Ioas);
  if (isErrno(ioas)) return ioas;

  if (cmd.length === 0n) return refuse(EINVAL, 'the length is 0');
  const last = cmd.start + cmd.length - 1n;
  if (last > U64_MAX) return refuseWrap();
  const origin = fileOrigin(task, cmd.fd | 0, last);
  if (isErrno(origin)) return origin;

  const spanHi = hiWord(cmd.length - 1n);
  const spanLo = loWord(cmd.length - 1n);
  const startLo = u[MAP_FILE.start]!;
  const prot = protOf(flags);
  const pageOffset = startLo & 0xfff;
  const pages = new Pages(ctx.subsystem, task, {
    origin,
    firstPage: Number(cmd.start >> 12n),
    npages: pageCount(pageOffset, spanHi, spanLo),
    writable: (prot & IOMMU_WRITE) !== 0,
    accountMode: ctx.accountMode,
  });
  const place: Placement = {
    fixed: (flags & IOMMU_IOAS_MAP_FIXED_IOVA) !== 0,
    iovaHi: u[MAP_FILE.iova + 1]!,
    iovaLo: u[MAP_FILE.iova]!,
    hintHi: u[MAP_FILE.start + 1]!,
    hintLo: startLo,
    spanHi,
    spanLo,
    prot,
  };
  const failed = ioas.iopt.mapPiece(place, { pages, firstIndex: 0, pageOffset });
  if (failed) return failed;
  u[MAP_FILE.iova] = ioas.iopt.mappedLo;
  u[MAP_FILE.iova + 1] = ioas.iopt.mappedHi;
  return ucmd.respond();
}

function fileOrigin(task: Task, fd: number, last: bigint): Result<PageOrigin> {
  const file = task.getFile(fd);
  if (isErrno(file)) return refuse(EBADF, 'the file descriptor is not open', { fd });
  if (file instanceof ForeignFile) return { kind: 'file', file };
  if (file.priv instanceof Dmabuf) return dmabufOrigin(file.priv, last);
  // Any other file of ours is taken here and refused at the pin, like every file without pages.
  return { kind: 'file', file: new ForeignFile(file.name, () => 0n) };
}
function dmabufOrigin(dmabuf: Dmabuf, last: bigint): Result<PageOrigin> {
  if (dmabuf.length <= last) {
    return refuse(EINVAL, 'the range leaves the dma-buf', { length: dmabuf.length });
  }
  if (dmabuf.firstPfn === undefined) {
    return refuse(EOPNOTSUPP, 'this exporter of dma-bufs is not supported');
  }
  if (dmabuf.revoked) return refuse(ENODEV, 'the dma-buf was revoked');
  return { kind: 'dmabuf', dmabuf };
}

/** @kernel iommufd_ioas_copy */
export function ioasCopy(ucmd: Ucmd<iommu_ioas_copy>): Status {
  const { ctx, words: u } = ucmd;
  const flags = copyFlags(ctx, ucmd.cmd);
  const early = checkFlags(flags);
  if (early) return early;
  if (allOnes(u, COPY.length) || allOnes(u, COPY.src_iova) || allOnes(u, COPY.dst_iova)) {
    return refuseWrap();
  }
  const rc = checkAccess(flags);
  if (rc) return rc;
  const src = ctx.objects.get(u[COPY.src_ioas_id]!, Ioas);
  if (isErrno(src)) return src;
  const pieces = getPages(src.iopt, u);
  if (isErrno(pieces)) return pieces;
  const dst = ctx.objects.get(u[COPY.dst_ioas_id]!, Ioas);
  if (isErrno(dst)) return dst;
  const failed = copyTo(dst.iopt, u, pieces, flags);
  if (failed) return failed;
  u[COPY.dst_iova] = dst.iopt.mappedLo;
  u[COPY.dst_iova + 1] = dst.iopt.mappedHi;
  return ucmd.respond();
}
function copyTo(
  iopt: IoPagetable,
  u: Uint32Array,
  pieces: readonly SizedPiece[],
  flags: number,
): Status {
  const first = pieces[0]!;
  // Address of the first byte where it comes from.
  const page = first.pages.firstPage + first.firstIndex;
  subPair(u[COPY.length + 1]!, u[COPY.length]!, 0, 1);
  const place: Placement = {
    fixed: (flags & IOMMU_IOAS_MAP_FIXED_IOVA) !== 0,
    iovaHi: u[COPY.dst_iova + 1]!,
    iovaLo: u[COPY.dst_iova]!,
    hintHi: Math.floor(page / 0x10_0000),
    hintLo: (page % 0x10_0000) * 4096 + first.pageOffset,
    spanHi: PAIR.hi,
    spanLo: PAIR.lo,
    prot: protOf(flags),
  };
  return pieces.length === 1 ? iopt.mapPiece(place, first) : iopt.mapPages(place, pieces);
}

/** The fuzzer's notation, with the selftest only: the nth area of the source and an offset in it. */
function copyFlags(ctx: IommufdContext, cmd: iommu_ioas_copy): number {
  const isSyz = ctx.subsystem.env.has('iommufd-selftest') && (cmd.flags & TEST_COPY_FLAG_SYZ) !== 0;
  if (!isSyz) return cmd.flags;
  syzSourceIova(ctx, cmd);
  return cmd.flags & ~TEST_COPY_FLAG_SYZ;
}
function syzSourceIova(ctx: IommufdContext, cmd: iommu_ioas_copy): void {
  const src = ctx.objects.get(cmd.src_ioas_id, Ioas);
  if (isErrno(src)) return;
  let nth = Number(cmd.src_iova & 0xffff_ffffn);
  for (const area of src.iopt.areas.values()) {
    if (nth-- > 0) continue;
    cmd.src_iova = (joinWords(area.startHi, area.startLo) + (cmd.src_iova >> 32n)) & U64_MAX;
    return;
  }
}

/**
 * The memory behind the source range of an IOAS_COPY, area by area.
 * Errnos: EINVAL EOVERFLOW of the range; ENOENT not all of it is mapped.
 * @kernel iopt_get_pages
 */
function getPages(iopt: IoPagetable, u: Uint32Array): Result<SizedPiece[]> {
  const lengthHi = u[COPY.length + 1]!;
  const lengthLo = u[COPY.length]!;
  let hi = u[COPY.src_iova + 1]!;
  let lo = u[COPY.src_iova]!;
  if (lengthHi === 0 && lengthLo === 0) return refuse(EINVAL, 'the length is 0');
  subPair(lengthHi, lengthLo, 0, 1);
  if (addPair(hi, lo, PAIR.hi, PAIR.lo)) return refuse(EOVERFLOW, 'the source range wraps');
  const lastHi = PAIR.hi;
  const lastLo = PAIR.lo;
  const pieces: SizedPiece[] = [];
  for (;;) {
    const area = iopt.areas.find(hi, lo);
    if (!area) {
      return refuse(ENOENT, 'the source range is not mapped completely', {
        iova: hex(joinWords(hi, lo)),
      });
    }
    const ends = !lessPair(area.lastHi, area.lastLo, lastHi, lastLo);
    pieces.push(pieceOf(area, hi, lo, ends ? lastHi : area.lastHi, ends ? lastLo : area.lastLo));
    if (ends) return pieces;
    addPair(area.lastHi, area.lastLo, 0, 1);
    hi = PAIR.hi;
    lo = PAIR.lo;
  }
}
function pieceOf(area: Area, hi: number, lo: number, lastHi: number, lastLo: number): SizedPiece {
  const firstIndex = area.indexAt(hi, lo);
  const pageOffset = area.offsetAt(lo);
  subPair(lastHi, lastLo, hi, lo);
  return { pages: area.pages, firstIndex, pageOffset, spanHi: PAIR.hi, spanLo: PAIR.lo };
}

/** @kernel iommufd_ioas_unmap */
export function ioasUnmap(ucmd: Ucmd<iommu_ioas_unmap>): Status {
  const { ctx, words: u } = ucmd;
  const ioas = ctx.objects.get(u[UNMAP.ioas_id]!, Ioas);
  if (isErrno(ioas)) return ioas;
  const { iopt } = ioas;
  const iovaHi = u[UNMAP.iova + 1]!;
  const iovaLo = u[UNMAP.iova]!;
  const all = iovaHi === 0 && iovaLo === 0 && allOnes(u, UNMAP.length);
  const rc = all ? iopt.unmapAll() : unmapIova(iopt, u);
  if (rc) return rc;
  u[UNMAP.length] = iopt.unmappedLo;
  u[UNMAP.length + 1] = iopt.unmappedHi;
  return ucmd.respond();
}
function unmapIova(iopt: IoPagetable, u: Uint32Array): Status {
  const iovaHi = u[UNMAP.iova + 1]!;
  const iovaLo = u[UNMAP.iova]!;
  const lengthHi = u[UNMAP.length + 1]!;
  const lengthLo = u[UNMAP.length]!;
  if (allOnes(u, UNMAP.iova) || allOnes(u, UNMAP.length)) return refuseWrap();
  if (lengthHi === 0 && lengthLo === 0) return refuse(EINVAL, 'the length is 0');
  subPair(lengthHi, lengthLo, 0, 1);
  if (addPair(iovaHi, iovaLo, PAIR.hi, PAIR.lo)) return refuseWrap();
  return iopt.unmapRange(iovaHi, iovaLo, PAIR.hi, PAIR.lo, true);
}
