/** A command as the controller has fetched it, and what it answers to it (vfio.md 6.2). */

/** Bytes of an entry of a submission queue, and of a completion queue. */
export const SQE_SIZE = 64;
export const CQE_SIZE = 16;

/** One command, from its fetch to its completion. */
export class Command {
  /** The submission queue it came from. */
  readonly sqId: number;
  readonly bytes: Uint8Array;
  readonly #words: DataView;
  /** Dword 0 of the completion. */
  result = 0;

  /** `bytes`: the 64 of its entry, which are its own. */
  constructor(sqId: number, bytes: Uint8Array) {
    this.sqId = sqId;
    this.bytes = bytes;
    this.#words = new DataView(bytes.buffer, bytes.byteOffset, SQE_SIZE);
  }

  get opcode(): number {
    return this.bytes[0]!;
  }
  /** Bits 1:0. */
  get fuse(): number {
    return this.bytes[1]! & 3;
  }
  /** 0 PRP, 1 and 2 SGL. */
  get psdt(): number {
    return this.bytes[1]! >> 6;
  }
  get id(): number {
    return this.#words.getUint16(2, true);
  }
  get nsid(): number {
    return this.#words.getUint32(4, true);
  }
  get prp1(): bigint {
    return this.#words.getBigUint64(24, true);
  }
  get prp2(): bigint {
    return this.#words.getBigUint64(32, true);
  }
  /** The data pointer when it is an SGL descriptor. */
  get sgl(): Uint8Array {
    return this.bytes.subarray(24, 40);
  }
  /** Command dword 10 to 15. */
  dword(n: number): number {
    return this.#words.getUint32(4 * n, true);
  }
  /** First block; beyond 2^53 it is not exact, and beyond every namespace. */
  get slba(): number {
    return this.dword(10) + this.dword(11) * 2 ** 32;
  }
  /** Blocks of a read, write and their like. */
  get blocks(): number {
    return (this.dword(12) & 0xffff) + 1;
  }
}

/** What will be written to a completion queue. */
export interface CommandAnswer {
  readonly result: number;
  readonly sqHead: number;
  readonly sqId: number;
  readonly commandId: number;
  /** Without the phase bit. */
  readonly field: number;
}
