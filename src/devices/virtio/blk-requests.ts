/**
 * Requests of a block device: what a chain asks for, and the work at the disk (virtio 1.2, 5.2.6; devices.md 5.6).
 */
import type { Status } from '../../base/errno.ts';
import { u32, u64, struct } from '../../base/struct.ts';
import type { BlockBacking, BlockErrors } from '../host-services.ts';
import type { DeviceDma, DmaPiece } from '../port.ts';
import { cutPieces, piecesLength, readEach } from '../unit/each.ts';
import { MOST_DATA, MOST_RANGES, MOST_SECTORS, SECTOR } from './blk-config.ts';
import type { Chain } from './chain.ts';

/** Values of a request's type. */
export const VIRTIO_BLK_T_IN = 0;
export const VIRTIO_BLK_T_OUT = 1;
export const VIRTIO_BLK_T_FLUSH = 4;
export const VIRTIO_BLK_T_GET_ID = 8;
export const VIRTIO_BLK_T_DISCARD = 11;
export const VIRTIO_BLK_T_WRITE_ZEROES = 13;
/** Values of the status byte. */
export const VIRTIO_BLK_S_OK = 0;
export const VIRTIO_BLK_S_IOERR = 1;
export const VIRTIO_BLK_S_UNSUPP = 2;
/** Bytes of an answer to GET_ID. */
const ID_BYTES = 20;
/** Flag of a write zeroes range: what held the bytes may be given back. */
const UNMAP = 1;

const virtio_blk_outhdr = struct('virtio_blk_outhdr', 16, { type: u32, ioprio: u32, sector: u64 });
const virtio_blk_range = struct('virtio_blk_discard_write_zeroes', 16, {
  sector: u64,
  num_sectors: u32,
  flags: u32,
});

/** A request under way: plain values. */
export interface BlkRequest {
  /** Index of its queue. */
  readonly queue: number;
  readonly chain: Chain;
  readonly type: number;
  readonly sector: bigint;
  /** Of the driver, after the header; undefined: it could not be read. */
  readonly data: Uint8Array | undefined;
  /** Bytes the driver has room for, without the status. */
  readonly room: number;
}

/** How a request ended. */
export interface BlkAnswer {
  readonly request: BlkRequest;
  readonly status: number;
  /** What is written for it before the status; as long as the room, or empty. */
  readonly data: Uint8Array;
}

/** Types whose data the driver gives. */
const GIVES: readonly number[] = [
  VIRTIO_BLK_T_OUT,
  VIRTIO_BLK_T_DISCARD,
  VIRTIO_BLK_T_WRITE_ZEROES,
];

/** A chain that has a header, whose data was not read yet. */
export interface AskedRequest extends Omit<BlkRequest, 'data'> {
  /** Where its data is. */
  readonly given: readonly DmaPiece[];
}

/** What these chains ask for, in one transfer. Undefined: it has no header. */
export function askedOf(
  dma: DeviceDma,
  queue: number,
  chains: readonly Chain[],
): (AskedRequest | undefined)[] {
  const heads = readEach(
    dma,
    chains.map(({ readable }) => cutPieces(readable, 0, virtio_blk_outhdr.size)),
  );
  return chains.map((chain, n) => {
    const bytes = heads[n];
    if (bytes?.length !== virtio_blk_outhdr.size) return undefined;
    const { type, sector } = virtio_blk_outhdr.view(bytes);
    const room = Math.max(0, piecesLength(chain.writable) - 1);
    return { queue, chain, type, sector, room, given: givenData(type, chain.readable) };
  });
}
/** Bytes of its data, either way. */
export function bytesOf({ given, type, room }: AskedRequest): number {
  const wanted = type === VIRTIO_BLK_T_IN || type === VIRTIO_BLK_T_GET_ID ? room : 0;
  return piecesLength(given) + (wanted > MOST_DATA ? 0 : wanted);
}
function givenData(type: number, readable: readonly DmaPiece[]): readonly DmaPiece[] {
  if (!GIVES.includes(type)) return [];
  const data = cutPieces(readable, virtio_blk_outhdr.size, Infinity);
  return piecesLength(data) > MOST_DATA ? [] : data;
}

/** The disk as the work sees it. */
export interface Disk {
  readonly backing: BlockBacking;
  readonly isReadOnly: boolean;
  readonly sectors: bigint;
  /** What GET_ID answers. */
  readonly id: string;
  /** What is written is durable when it is answered. */
  readonly writesThrough: boolean;
}

/** Do what a request asks for; `end` is told once, perhaps before this returns. */
export function perform(disk: Disk, request: BlkRequest, end: (answer: BlkAnswer) => void): void {
  const work = WORK[request.type];
  if (work) work({ disk, request, end });
  else answer({ disk, request, end }, VIRTIO_BLK_S_UNSUPP);
}

interface Job {
  readonly disk: Disk;
  readonly request: BlkRequest;
  readonly end: (answer: BlkAnswer) => void;
}
const NOTHING = new Uint8Array(0);

const WORK: Readonly<Record<number, (job: Job) => void>> = {
  [VIRTIO_BLK_T_IN]: readSectors,
  [VIRTIO_BLK_T_OUT]: writeSectors,
  [VIRTIO_BLK_T_FLUSH]: (job) => job.disk.backing.flush((rc) => ended(job, rc)),
  [VIRTIO_BLK_T_GET_ID]: tellId,
  [VIRTIO_BLK_T_DISCARD]: (job) => zeroRanges(job, 0),
  [VIRTIO_BLK_T_WRITE_ZEROES]: (job) => zeroRanges(job, UNMAP),
};

function answer({ request, end }: Job, status: number, data: Uint8Array = NOTHING): void {
  end({ request, status, data });
}
function ended(job: Job, rc: Status<BlockErrors>, data: Uint8Array = NOTHING): void {
  if (rc) answer(job, VIRTIO_BLK_S_IOERR);
  else answer(job, VIRTIO_BLK_S_OK, data);
}

function readSectors(job: Job): void {
  const { disk, request } = job;
  if (!isOnDisk(disk, request.sector, request.room)) {
    answer(job, VIRTIO_BLK_S_IOERR);
    return;
  }
  const data = new Uint8Array(request.room);
  disk.backing.read(request.sector * BigInt(SECTOR), data, (rc) => ended(job, rc, data));
}
function writeSectors(job: Job): void {
  const { disk, request } = job;
  const { data, sector } = request;
  if (disk.isReadOnly || !data || !isOnDisk(disk, sector, data.length)) {
    answer(job, VIRTIO_BLK_S_IOERR);
    return;
  }
  disk.backing.write(sector * BigInt(SECTOR), data, (rc) => endWrite(job, rc));
}
/** No data is none that anybody asks for, or too much. */
function isOnDisk(disk: Disk, sector: bigint, length: number): boolean {
  if (length === 0 || length > MOST_DATA || length % SECTOR !== 0) return false;
  return sector + BigInt(length / SECTOR) <= disk.sectors;
}
function endWrite(job: Job, rc: Status<BlockErrors>): void {
  if (rc || !job.disk.writesThrough) ended(job, rc);
  else job.disk.backing.flush((flushed) => ended(job, flushed));
}

function tellId(job: Job): void {
  const { room } = job.request;
  if (room < ID_BYTES || room > MOST_DATA) {
    answer(job, VIRTIO_BLK_S_IOERR);
    return;
  }
  const data = new Uint8Array(room);
  data.set(new TextEncoder().encode(job.disk.id).subarray(0, ID_BYTES));
  answer(job, VIRTIO_BLK_S_OK, data);
}

/** Discards and write zeroes: both leave zeros. `flags` are those a range may have. */
function zeroRanges(job: Job, flags: number): void {
  const { disk, request } = job;
  const ranges = rangesOf(request.data ?? NOTHING);
  if (disk.isReadOnly || !ranges) {
    answer(job, VIRTIO_BLK_S_IOERR);
  } else if (ranges.some((range) => (range.flags & ~flags) !== 0)) {
    answer(job, VIRTIO_BLK_S_UNSUPP);
  } else if (ranges.some(({ sector, count }) => sector + count > disk.sectors)) {
    answer(job, VIRTIO_BLK_S_IOERR);
  } else {
    zeroFrom(job, ranges, 0);
  }
}
interface SectorRange {
  readonly sector: bigint;
  readonly count: bigint;
  readonly flags: number;
}
function rangesOf(data: Uint8Array): readonly SectorRange[] | undefined {
  const count = data.length / virtio_blk_range.size;
  if (!Number.isInteger(count) || count === 0 || count > MOST_RANGES) return undefined;
  const ranges = Array.from({ length: count }, (_, n) => {
    const range = virtio_blk_range.view(data.subarray(n * virtio_blk_range.size));
    return { sector: range.sector, count: BigInt(range.num_sectors), flags: range.flags };
  });
  return ranges.some((range) => range.count > MOST_SECTORS) ? undefined : ranges;
}
function zeroFrom(job: Job, ranges: readonly SectorRange[], next: number): void {
  const range = ranges[next];
  if (!range) {
    endWrite(job, undefined);
    return;
  }
  const bytes = BigInt(SECTOR);
  job.disk.backing.zero(range.sector * bytes, range.count * bytes, (rc) => {
    if (rc) ended(job, rc);
    else zeroFrom(job, ranges, next + 1);
  });
}
