/** Commands that map and unmap in an IOAS (iommufd.md 2.4-2.7). */
import {
  EACCES,
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
import { firstOf, refuse, type Facts } from '../base/refuse.ts';
import type { Task } from '../base/task.ts';
import { hex, PAGE_SIZE, U64_MAX } from '../base/u64.ts';
import { joinWords, registerOf, sumWraps, U64Register, type WordPair } from '../base/word-pair.ts';
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
import type { IommufdContext } from './context.ts';
import { Dmabuf } from './io-pagetable/dmabuf.ts';
import type { IoPagetable, SizedPiece } from './io-pagetable/io-pagetable.ts';
import { Ioas } from './ioas.ts';
import type { Ucmd } from './ioctl.ts';
import { Placement } from './io-pagetable/iova-alloc.ts';
import type { PageBacking, PageOrigin } from './io-pagetable/page-backing.ts';
import { checkFlags, checkReserved } from './checks.ts';

const KNOWN_FLAGS = IOMMU_IOAS_MAP_FIXED_IOVA | IOMMU_IOAS_MAP_WRITEABLE | IOMMU_IOAS_MAP_READABLE;
const ALL_ONES = 0xffff_ffff;
/** Word numbers of fields; of a u64 the low word, the high one follows. */
const MAP = wordsOf(mapLayout.offsets);
const MAP_FILE = wordsOf(mapFileLayout.offsets);
const COPY = wordsOf(copyLayout.offsets);
const UNMAP = wordsOf(unmapLayout.offsets);

/** Kept by the commands for all their calls, as their structs are (ioctl.ts). */
const PLACE = new Placement();
const UNMAP_REGISTERS = {
  iova: new U64Register(),
  last: new U64Register(),
  unmapped: new U64Register(),
};

function wordsOf<Names extends string>(offsets: Readonly<Record<Names, number>>) {
  // cast: every name has got its word
  return Object.fromEntries(
    Object.entries<number>(offsets).map(([name, at]) => [name, at >> 2]),
  ) as Record<Names, number>;
}

/** IOMMU_READ and friends of the flags of a MAP. */
export function protOf(flags: number): number {
  let prot = IOMMU_CACHE;
  if (flags & IOMMU_IOAS_MAP_WRITEABLE) prot |= IOMMU_WRITE;
  if (flags & IOMMU_IOAS_MAP_READABLE) prot |= IOMMU_READ;
  return prot;
}

function checkAccess(flags: number): Status {
  if ((flags & (IOMMU_IOAS_MAP_WRITEABLE | IOMMU_IOAS_MAP_READABLE)) !== 0) return undefined;
  return refuse(EINVAL, 'neither READABLE nor WRITEABLE was asked for', { flags });
}
function isMax(u: Uint32Array, field: number): boolean {
  return u[field] === ALL_ONES && u[field + 1] === ALL_ONES;
}
function hexOf(u: Uint32Array, field: number): string {
  return hex(joinWords(u[field + 1]!, u[field]!));
}
/** ULONG_MAX is an error of its own, found before the range is looked at. */
function checkNotMax(u: Uint32Array, iova: number, length: number): Status {
  if (isMax(u, iova)) return refuse(EOVERFLOW, 'the IOVA is 2^64-1', { length: hexOf(u, length) });
  if (isMax(u, length)) return refuse(EOVERFLOW, 'the length is 2^64-1', { iova: hexOf(u, iova) });
  return undefined;
}

/** In the kernel's order. */
const MAP_CHECKS: readonly ((u: Uint32Array, flags: number) => Status)[] = [
  (_u, flags) => checkFlags(flags, KNOWN_FLAGS),
  (u) => checkReserved(u[MAP.__reserved]!),
  (u) => checkNotMax(u, MAP.iova, MAP.length),
  (_u, flags) => checkAccess(flags),
];
/** @kernel iommufd_ioas_map */
export function ioasMap(ucmd: Ucmd<iommu_ioas_map>): Status {
  const { ctx, words: u } = ucmd;
  const flags = u[MAP.flags]!;
  const early = firstOf(MAP_CHECKS, u, flags);
  if (early) return early;
  const ioas = ctx.objects.get(u[MAP.ioas_id]!, Ioas);
  if (isErrno(ioas)) return ioas;

  const place = placementOf(flags);
  place.iova.load(u, MAP.iova);
  place.hint.load(u, MAP.user_va);
  const length = place.span.load(u, MAP.length);
  const bad = checkUserRange(place.hint, length, ctx.subsystem.env);
  if (bad) return bad;
  place.span.decrement();
  const failed = mapUserPages(ctx, ucmd.task, ioas.iopt, place);
  if (failed) return failed;
  place.iova.store(u, MAP.iova);
  return ucmd.respond();
}

function placementOf(flags: number): Placement {
  const place = PLACE;
  place.fixed = (flags & IOMMU_IOAS_MAP_FIXED_IOVA) !== 0;
  place.prot = protOf(flags);
  return place;
}

/** Can it be memory of a program? Errnos: EOVERFLOW EINVAL. */
export function checkUserRange(va: WordPair, length: WordPair, env: KernelEnv): Status {
  const tooLong = length.hi === ALL_ONES && length.lo > ALL_ONES - PAGE_SIZE;
  const lengthFirst = tooLong && env.has('map-length-first');
  if (!lengthFirst && sumWraps(va, length)) {
    return refuse(EOVERFLOW, 'the user range wraps', factsOf(va, length));
  }
  if (length.hi === 0 && length.lo === 0) {
    return refuse(EINVAL, 'the length is 0', { start: hex(joinWords(va.hi, va.lo)) });
  }
  if (tooLong) return refuse(EINVAL, 'the length leaves no room for a page', factsOf(va, length));
  return undefined;
}
function factsOf(va: WordPair, length: WordPair): Facts {
  return { start: hex(joinWords(va.hi, va.lo)), length: hex(joinWords(length.hi, length.lo)) };
}

/**
 * Map memory of the caller, whose address is the hint of the placement. Errnos: those of IoPagetable.mapPages.
 * @kernel iopt_map_user_pages
 */
export function mapUserPages(
  ctx: IommufdContext,
  task: Task,
  iopt: IoPagetable,
  place: Placement,
): Status {
  return mapNew(iopt, ctx.backing(task, ctx.userOrigin(task.mm), isWritable(place)), place);
}
function isWritable({ prot }: Placement): boolean {
  return (prot & IOMMU_WRITE) !== 0;
}
/** Map memory that nobody has yet, from `place.hint` of its origin on. */
function mapNew(iopt: IoPagetable, backing: PageBacking, place: Placement): Status {
  return iopt.mapPiece(place, { memory: backing, from: place.hint });
}

/**
 * A departure: Linux lets a device write to memory whose descriptor is for reading, and leaves it to the rights on
 * /dev/iommu who may ask for it. Here every program has /dev/iommu, so such a map is EACCES.
 * @kernel iommufd_ioas_map_file
 */
export function ioasMapFile(ucmd: Ucmd<iommu_ioas_map_file>): Status {
  const { cmd, ctx, task, words: u } = ucmd;
  const { flags, start, length } = cmd;
  const early =
    checkFlags(flags, KNOWN_FLAGS) ??
    checkNotMax(u, MAP_FILE.iova, MAP_FILE.length) ??
    checkAccess(flags);
  if (early) return early;
  const ioas = ctx.objects.get(cmd.ioas_id, Ioas);
  if (isErrno(ioas)) return ioas;

  if (length === 0n) return refuse(EINVAL, 'the length is 0', { start });
  const last = start + length - 1n;
  if (last > U64_MAX) return refuse(EOVERFLOW, 'the range of the file wraps', { start, length });
  const origin = fileOrigin(task, cmd.fd | 0, last);
  if (isErrno(origin)) return origin;
  if (isForReading(origin) && (flags & IOMMU_IOAS_MAP_WRITEABLE) !== 0) {
    return refuse(EACCES, 'the descriptor was opened for reading', { fd: cmd.fd | 0 });
  }

  const place = placementOf(flags);
  place.iova.load(u, MAP_FILE.iova);
  place.hint.load(u, MAP_FILE.start);
  place.span.load(u, MAP_FILE.length).decrement();
  const failed = mapNew(ioas.iopt, ctx.backing(task, origin, isWritable(place)), place);
  if (failed) return failed;
  place.iova.store(u, MAP_FILE.iova);
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
/** A file without pages is refused where it is pinned. */
function isForReading(origin: PageOrigin): boolean {
  return origin.kind === 'file' && origin.file.pages !== undefined && !origin.file.writable;
}
function dmabufOrigin(dmabuf: Dmabuf, last: bigint): Result<PageOrigin> {
  if (dmabuf.length <= last) {
    return refuse(EINVAL, 'the range leaves the dma-buf', { last, length: dmabuf.length });
  }
  if (dmabuf.firstPfn === undefined) {
    return refuse(EOPNOTSUPP, 'this exporter of dma-bufs is not supported', {
      length: dmabuf.length,
    });
  }
  if (dmabuf.revoked) return refuse(ENODEV, 'the dma-buf was revoked', { length: dmabuf.length });
  return { kind: 'dmabuf', dmabuf };
}

/** @kernel iommufd_ioas_copy */
export function ioasCopy(ucmd: Ucmd<iommu_ioas_copy>): Status {
  const { ctx, words: u } = ucmd;
  const flags = copyFlags(ctx, ucmd.cmd);
  const early =
    checkFlags(flags, KNOWN_FLAGS) ??
    checkNotMax(u, COPY.src_iova, COPY.length) ??
    checkNotMax(u, COPY.dst_iova, COPY.length) ??
    checkAccess(flags);
  if (early) return early;
  const src = ctx.objects.get(u[COPY.src_ioas_id]!, Ioas);
  if (isErrno(src)) return src;
  const place = placementOf(flags);
  place.iova.load(u, COPY.dst_iova);
  place.span.load(u, COPY.length);
  const source = new U64Register().load(u, COPY.src_iova);
  const pieces = getPages(src.iopt, source, place.span);
  if (isErrno(pieces)) return pieces;
  const dst = ctx.objects.get(u[COPY.dst_ioas_id]!, Ioas);
  if (isErrno(dst)) return dst;

  const first = pieces[0]!;
  place.span.decrement();
  place.hint.copy(first.from);
  const failed =
    pieces.length === 1 ? dst.iopt.mapPiece(place, first) : dst.iopt.mapPages(place, pieces);
  if (failed) return failed;
  place.iova.store(u, COPY.dst_iova);
  return ucmd.respond();
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
    cmd.src_iova = (area.start + (cmd.src_iova >> 32n)) & U64_MAX;
    return;
  }
}

/**
 * The memory behind a range, area by area.
 * Errnos: EINVAL EOVERFLOW of the range; ENOENT not all of it is mapped.
 * @kernel iopt_get_pages
 */
function getPages(iopt: IoPagetable, iova: WordPair, length: WordPair): Result<SizedPiece[]> {
  if (length.hi === 0 && length.lo === 0) {
    return refuse(EINVAL, 'the length is 0', { src_iova: hex(joinWords(iova.hi, iova.lo)) });
  }
  const last = new U64Register().copy(length);
  last.decrement();
  if (last.plus(iova)) return refuse(EOVERFLOW, 'the source range wraps', factsOf(iova, length));
  const pieces: SizedPiece[] = [];
  const at = new U64Register().copy(iova);
  for (;;) {
    const area = iopt.areas.find(at.hi, at.lo);
    if (!area) {
      return refuse(ENOENT, 'the source range is not mapped completely', { iova: hex(at.value) });
    }
    const ends = !area.endsBefore(last);
    const pieceLast = ends ? last : registerOf(area.last);
    pieces.push({ ...area.pieceAt(at), span: registerOf(pieceLast.value - at.value) });
    if (ends) return pieces;
    at.copy(pieceLast).increment();
  }
}

/** @kernel iommufd_ioas_unmap */
export function ioasUnmap(ucmd: Ucmd<iommu_ioas_unmap>): Status {
  const { ctx, words: u } = ucmd;
  const ioas = ctx.objects.get(u[UNMAP.ioas_id]!, Ioas);
  if (isErrno(ioas)) return ioas;
  const { iopt } = ioas;
  const { unmapped } = UNMAP_REGISTERS;
  const isAll = u[UNMAP.iova] === 0 && u[UNMAP.iova + 1] === 0 && isMax(u, UNMAP.length);
  const rc = isAll ? iopt.unmapAll(unmapped) : unmapIova(iopt, u, unmapped);
  if (rc) return rc;
  unmapped.store(u, UNMAP.length);
  return ucmd.respond();
}
function unmapIova(iopt: IoPagetable, u: Uint32Array, unmapped: U64Register): Status {
  const rc = checkNotMax(u, UNMAP.iova, UNMAP.length);
  if (rc) return rc;
  const iova = UNMAP_REGISTERS.iova.load(u, UNMAP.iova);
  const last = UNMAP_REGISTERS.last.load(u, UNMAP.length);
  if (last.decrement()) return refuse(EINVAL, 'the length is 0', { iova: hex(iova.value) });
  if (last.plus(iova)) {
    return refuse(EOVERFLOW, 'the range to unmap wraps', { iova: hex(iova.value) });
  }
  return iopt.unmapRange(iova, last, unmapped);
}
