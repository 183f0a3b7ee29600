/** Registers of an NVMe controller (vfio.md 6.2, devices.md 4.1): BAR 0, doorbells from 0x1000 on. */
import { offsetsOf, type RegisterTable } from '../unit/registers.ts';

/** I/O queues there can be; each has a doorbell for its tail and one for its head, as the admin queue has. */
export const MOST_QUEUES = 64;
/** Entries of an I/O queue, at most: CAP.MQES + 1. */
export const MOST_ENTRIES = 1024;
/** CC.MPS at most: pages of 64 KiB. */
export const MPS_MAX = 4;
export const DOORBELLS = 0x1000;

/** MQES, CQR, TO of 15 s, NSSRS, the NVM command set, MPSMAX. */
const CAP =
  BigInt(MOST_ENTRIES - 1) |
  (1n << 16n) |
  (30n << 24n) |
  (1n << 36n) |
  (1n << 37n) |
  (BigInt(MPS_MAX) << 52n);
/** 1.4 */
export const VERSION = 0x0001_0400;

export const NVME_REGISTERS = {
  cap: {
    offset: 0x00,
    width: 8,
    access: 'ro',
    reset: CAP,
    shadow: true,
    help: 'what the controller can do',
  },
  vs: {
    offset: 0x08,
    width: 4,
    access: 'ro',
    reset: VERSION,
    shadow: true,
    help: 'version of NVMe: 1.4',
  },
  intms: {
    offset: 0x0c,
    width: 4,
    access: 'w1s',
    shadow: true,
    help: 'of interrupts by pin or MSI: mask',
  },
  intmc: { offset: 0x10, width: 4, access: 'rw', shadow: true, help: 'and unmask; there are none' },
  cc: {
    offset: 0x14,
    width: 4,
    access: 'rw',
    acts: 'any',
    shadow: true,
    help: 'configuration: EN, MPS, SHN',
  },
  csts: {
    offset: 0x1c,
    width: 4,
    access: 'w1c',
    writable: 0x10,
    shadow: true,
    help: 'status: RDY, CFS, SHST, NSSRO',
  },
  nssr: {
    offset: 0x20,
    width: 4,
    access: 'wo',
    shadow: true,
    help: '0x4e564d65 resets the subsystem',
  },
  aqa: {
    offset: 0x24,
    width: 4,
    access: 'rw',
    writable: 0x0fff_0fff,
    shadow: true,
    help: 'admin queue sizes',
  },
  asq: {
    offset: 0x28,
    width: 8,
    access: 'rw',
    shadow: true,
    help: 'address of the admin submission queue',
  },
  acq: {
    offset: 0x30,
    width: 8,
    access: 'rw',
    shadow: true,
    help: 'address of the admin completion queue',
  },
  cmbloc: {
    offset: 0x38,
    width: 4,
    access: 'ro',
    shadow: true,
    help: 'no controller memory buffer',
  },
  cmbsz: {
    offset: 0x3c,
    width: 4,
    access: 'ro',
    shadow: true,
    help: 'no controller memory buffer',
  },
  pmrcap: {
    offset: 0xe00,
    width: 4,
    access: 'ro',
    shadow: true,
    help: 'no persistent memory region',
  },
  sqTail: {
    offset: DOORBELLS,
    width: 4,
    access: 'wo',
    count: MOST_QUEUES + 1,
    stride: 8,
    help: 'tail of submission queue n',
  },
  cqHead: {
    offset: DOORBELLS + 4,
    width: 4,
    access: 'wo',
    count: MOST_QUEUES + 1,
    stride: 8,
    help: 'head of completion queue n',
  },
} as const satisfies RegisterTable;
/** Their offsets. */
export const NVME_REG = offsetsOf(NVME_REGISTERS);

/** CC */
export const CC_EN = 0x1;
/** CSTS */
export const CSTS_RDY = 0x01;
export const CSTS_CFS = 0x02;
export const CSTS_SHST = 0x0c;
export const CSTS_SHST_OCCURRING = 0x04;
export const CSTS_SHST_COMPLETE = 0x08;
export const CSTS_NSSRO = 0x10;
/** NSSR: 'NVMe' */
export const NSSR_RESET = 0x4e56_4d65;

/** What CC says besides EN. */
export interface Configuration {
  readonly commandSet: number;
  /** Memory page is 4096 << mps. */
  readonly mps: number;
  readonly arbitration: number;
  readonly shutdown: number;
}

/** The fields of CC. */
export function configurationOf(cc: number): Configuration {
  return {
    commandSet: (cc >>> 4) & 7,
    mps: (cc >>> 7) & 15,
    arbitration: (cc >>> 11) & 7,
    shutdown: (cc >>> 14) & 3,
  };
}
/** The NVM command set, round robin, a page size there is. */
export function isSupported({ commandSet, mps, arbitration }: Configuration): boolean {
  return commandSet === 0 && arbitration === 0 && mps <= MPS_MAX;
}
