/** Descriptors of a data streaming accelerator and their completion records (vfio.md 5.4, devices.md 3.3). */
import { bytes, struct, u16, u32, u64, u8, type Of } from '../../base/struct.ts';

export const DESCRIPTOR_SIZE = 64;

export const DSA_DESCRIPTOR = struct('dsa_hw_desc', DESCRIPTOR_SIZE, {
  pasid: u32,
  /** Flags, and the opcode in the highest byte. */
  operation: u32,
  completion: u64,
  /** Of a batch: the list. Of a fill: the pattern. */
  src: u64,
  /** Of a comparison of two: the other. Of a comparison with a pattern: the pattern. */
  dst: u64,
  /** Bytes; of a batch, descriptors. */
  size: u32,
  interrupt: u16,
  reserved: bytes(26),
});
export type DsaDescriptor = Of<typeof DSA_DESCRIPTOR>;

export const DSA_RECORD = struct('dsa_completion_record', 32, {
  status: u8,
  result: u8,
  faultInfo: u16,
  /** Bytes, or members of a batch. */
  completed: u32,
  faultAddress: u64,
  more: bytes(16),
});

export const OP = {
  none: 0,
  batch: 1,
  drain: 2,
  move: 3,
  fill: 4,
  compare: 5,
  comparePattern: 6,
} as const;
/** The bits of OPCAP. */
export const OPERATIONS = 0x7fn;

export const FLAG = {
  fence: 0x01,
  /** The record's address is valid: it is written when something fails. */
  recordValid: 0x04,
  /** It is written in any case. */
  recordAlways: 0x08,
  interrupt: 0x10,
  /** Cache control, traffic classes, strict order and read-back: nothing to a memory without caches. */
  known: 0x67_1d,
} as const;

export const STATUS = {
  success: 0x01,
  fault: 0x03,
  batchFailed: 0x05,
  batchFault: 0x06,
  opcode: 0x10,
  flags: 0x11,
  size: 0x13,
  count: 0x14,
  listAddress: 0x18,
  interrupt: 0x19,
  recordFault: 0x1a,
  recordAddress: 0x1b,
  /** With a fault: of a write. */
  write: 0x80,
} as const;

/** How a descriptor has ended. */
export interface DescriptorOutcome {
  readonly status: number;
  readonly result?: number;
  readonly completed?: number;
  readonly faultAddress?: bigint;
}
