/** Descriptors of an I/OAT engine as they lie in memory (vfio.md 5.3). */
import { bytes, struct, u32, u64, type Of } from '../../base/struct.ts';

export const DESCRIPTOR_SIZE = 64;

export const DMA_DESCRIPTOR = struct('ioat_dma_descriptor', DESCRIPTOR_SIZE, {
  /** Bytes to move. */
  size: u32,
  ctl: u32,
  /** Of a fill: the pattern. */
  src: u64,
  dst: u64,
  /** Address of the descriptor after this one. */
  next: u64,
  /** The driver's own. */
  rest: bytes(32),
});
export type DmaDescriptor = Of<typeof DMA_DESCRIPTOR>;

/** Bits of `ctl`; the opcode is its highest byte. */
export const CTL = {
  interrupt: 0x1,
  completionWrite: 0x8,
  fence: 0x10,
  null: 0x20,
  reserved: 0x00ff_f800,
} as const;
export const OPCODE = { copy: 0, fill: 1 } as const;
/** The opcode in its place. */
export const CTL_FILL = OPCODE.fill << 24;
