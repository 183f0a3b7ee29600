/** Configuration of a block device as registers (virtio 1.2, 5.2.4; devices.md 5.6), and its feature bits. */
import type { RegisterTable } from '../unit/registers.ts';
import { featureBits } from './numbers.ts';
import { DEVICE_CONFIG } from './registers.ts';

export const VIRTIO_BLK_F_SIZE_MAX = 1;
export const VIRTIO_BLK_F_SEG_MAX = 2;
export const VIRTIO_BLK_F_RO = 5;
export const VIRTIO_BLK_F_BLK_SIZE = 6;
export const VIRTIO_BLK_F_FLUSH = 9;
export const VIRTIO_BLK_F_CONFIG_WCE = 11;
export const VIRTIO_BLK_F_MQ = 12;
export const VIRTIO_BLK_F_DISCARD = 13;
export const VIRTIO_BLK_F_WRITE_ZEROES = 14;

/** Bytes of the unit that requests count in, whatever blk_size says. */
export const SECTOR = 512;
/** Bytes of one segment, and segments of one request, that a driver may use. */
export const SIZE_MAX = 0x8000;
export const SEG_MAX = 126;
/** Bytes of data of one request: what a driver that keeps to the two can ask for, and some. */
export const MOST_DATA = SIZE_MAX * 128;
/** Sectors of one range of a discard or write zeroes, and ranges of one request. */
export const MOST_SECTORS = 0x3f_ffff;
export const MOST_RANGES = 64;

/** What one device is like. */
export interface BlkFacts {
  readonly sectors: bigint;
  readonly blockSize: number;
  readonly queues: number;
  readonly queueSize: number;
  readonly isReadOnly: boolean;
}

/** Feature bits of such a device. */
export function blkFeatures({ queues, isReadOnly }: BlkFacts): bigint {
  return featureBits(
    VIRTIO_BLK_F_SIZE_MAX,
    VIRTIO_BLK_F_SEG_MAX,
    VIRTIO_BLK_F_BLK_SIZE,
    VIRTIO_BLK_F_FLUSH,
    VIRTIO_BLK_F_CONFIG_WCE,
    ...(isReadOnly ? [VIRTIO_BLK_F_RO] : [VIRTIO_BLK_F_DISCARD, VIRTIO_BLK_F_WRITE_ZEROES]),
    ...(queues > 1 ? [VIRTIO_BLK_F_MQ] : []),
  );
}

/** Its registers. */
export function blkRegisters(facts: BlkFacts) {
  const at = (offset: number): number => DEVICE_CONFIG + offset;
  const sectorsPerBlock = facts.blockSize / SECTOR;
  return {
    capacity: { offset: at(0), width: 8, access: 'ro', reset: facts.sectors, help: 'sectors' },
    sizeMax: { offset: at(8), width: 4, access: 'ro', reset: SIZE_MAX, help: 'bytes a segment' },
    segMax: {
      offset: at(12),
      width: 4,
      access: 'ro',
      reset: Math.min(SEG_MAX, facts.queueSize - 2),
      help: 'segments a request',
    },
    blkSize: { offset: at(20), width: 4, access: 'ro', reset: facts.blockSize, help: 'bytes' },
    wce: { offset: at(32), width: 1, access: 'rw', writable: 1, reset: 1, help: '1 write back' },
    numQueues: { offset: at(34), width: 2, access: 'ro', reset: facts.queues, help: 'queues' },
    maxDiscardSectors: {
      offset: at(36),
      width: 4,
      access: 'ro',
      reset: MOST_SECTORS,
      help: 'sectors a range',
    },
    maxDiscardSeg: { offset: at(40), width: 4, access: 'ro', reset: MOST_RANGES, help: 'ranges' },
    discardSectorAlignment: {
      offset: at(44),
      width: 4,
      access: 'ro',
      reset: sectorsPerBlock,
      help: 'sectors',
    },
    maxWriteZeroesSectors: {
      offset: at(48),
      width: 4,
      access: 'ro',
      reset: MOST_SECTORS,
      help: 'sectors a range',
    },
    maxWriteZeroesSeg: {
      offset: at(52),
      width: 4,
      access: 'ro',
      reset: MOST_RANGES,
      help: 'ranges',
    },
    writeZeroesMayUnmap: { offset: at(56), width: 1, access: 'ro', reset: 1, help: '1 it may' },
  } as const satisfies RegisterTable;
}
