/** Registers of a data streaming accelerator (devices.md 3.1, vfio.md 5.4). */
import type { RegisterTable } from '../unit/registers.ts';

/** As many as there may be: how many there are is an option. */
export const MOST_WQS = 8;
export const GROUPS = 4;
export const ENGINES = 4;
export const TOTAL_WQ_SIZE = 128;
export const VECTORS = 9;
/** Tables begin at multiples of this. */
const UNIT = 0x100;
const GRPCFG = 0x400;
const WQCFG = 0x500;
const MSIX_PERM = 0x700;
/** Words of one entry: of 8 bytes in GRPCFG, of 4 in WQCFG. */
export const GROUP_WORDS = 8;
export const WQ_WORDS = 16;

/** Registers of BAR 0. Any access is taken byte for byte. */
export const DSA_REGISTERS = {
  version: { offset: 0x00, width: 4, access: 'ro', reset: 0x100, help: '1.0' },
  gencap: { offset: 0x10, width: 8, access: 'ro', help: 'capabilities' },
  wqcap: { offset: 0x20, width: 8, access: 'ro', help: 'work queues' },
  grpcap: { offset: 0x30, width: 8, access: 'ro', reset: GROUPS, help: 'groups' },
  engcap: { offset: 0x38, width: 8, access: 'ro', reset: ENGINES, help: 'engines' },
  opcap: { offset: 0x40, width: 8, count: 4, access: 'ro', help: 'operations, a bit each' },
  offsets: { offset: 0x60, width: 8, count: 2, access: 'ro', help: 'of tables, in units of 0x100' },
  gencfg: { offset: 0x80, width: 4, access: 'rw', help: 'holds what is written' },
  genctrl: {
    offset: 0x88,
    width: 4,
    access: 'rw',
    help: '0x1 interrupt of software errors, 0x2 of a halt',
  },
  gensts: { offset: 0x90, width: 4, access: 'ro', help: '0 disabled, 1 enabled' },
  intcause: { offset: 0x98, width: 4, access: 'w1c', help: '0x1 software error, 0x2 command' },
  cmd: { offset: 0xa0, width: 4, access: 'rw', help: 'operand, code << 20, 1 << 31 to interrupt' },
  cmdsts: { offset: 0xa8, width: 4, access: 'ro', help: 'error, 1 << 31 while active' },
  cmdcap: { offset: 0xb0, width: 4, access: 'ro', reset: 0x1ffe, help: 'commands, a bit each' },
  swerr: {
    offset: 0xc0,
    width: 8,
    count: 4,
    access: 'w1c',
    writable: 3,
    help: 'an error no completion record tells of; ones to bits 0 and 1 clear it',
  },
  grpcfg: {
    offset: GRPCFG,
    width: 8,
    count: GROUPS * GROUP_WORDS,
    access: 'rw',
    acts: 'any',
    help: 'a group in 8 words: 4 of its work queues, one of its engines, flags',
  },
  wqcfg: {
    offset: WQCFG,
    width: 4,
    count: MOST_WQS * WQ_WORDS,
    access: 'rw',
    acts: 'any',
    help: 'a work queue in 16 words: size, threshold, mode, limits, …, state',
  },
  msixPerm: {
    offset: MSIX_PERM,
    width: 8,
    count: VECTORS,
    access: 'rw',
    help: 'PASID of a vector; holds what is written',
  },
} as const satisfies RegisterTable;

/** As OFFSETS says it. */
export const TABLE_OFFSETS =
  BigInt(GRPCFG / UNIT) | (BigInt(WQCFG / UNIT) << 16n) | (BigInt(MSIX_PERM / UNIT) << 32n);

/** Commands, in bits 24:20 of CMD. */
export const CMD = {
  enableDevice: 1,
  disableDevice: 2,
  drainAll: 3,
  abortAll: 4,
  resetDevice: 5,
  enableWq: 6,
  disableWq: 7,
  drainWq: 8,
  abortWq: 9,
  resetWq: 10,
  drainPasid: 11,
  abortPasid: 12,
} as const;
/** Of CMD: a message when it is over. */
export const CMD_INTERRUPT = 2 ** 31;
export const CMDSTS_ACTIVE = 2 ** 31;

/** Errors in CMDSTS. */
export const CMDERR = {
  command: 0x01,
  wqIndex: 0x02,
  deviceEnabled: 0x10,
  busMaster: 0x12,
  totalSize: 0x14,
  wqInGroups: 0x15,
  wqInNoGroup: 0x16,
  engineInGroups: 0x17,
  noEngine: 0x18,
  deviceNotEnabled: 0x20,
  wqEnabled: 0x21,
  wqSize: 0x22,
  wqPriority: 0x23,
  wqMode: 0x24,
  wqBatch: 0x27,
  wqTransfer: 0x28,
  notEnabled: 0x31,
  wqNotUsable: 0x32,
} as const;

/** Bits of INTCAUSE. */
export const CAUSE = { softwareError: 1, command: 2 } as const;
/** Of GENCTRL: software errors interrupt. */
export const GENCTRL_ERROR_INTERRUPT = 1;
