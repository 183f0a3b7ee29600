/**
 * Bytes of a file as its numbers, little-endian. The file is a program's and may say anything: behind the end everything
 * is 0, and `isOver` tells.
 */

/** Of a function or a file; names of C++ are long. */
const LONGEST_NAME = 4096;

/** Reads one number after another. */
export class ByteReader {
  readonly #view: DataView;
  at: number;
  readonly end: number;

  /** `at` and `end` in bytes; both are kept within the bytes. */
  constructor(bytes: Uint8Array, at = 0, end = bytes.length) {
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    this.end = Math.max(0, Math.min(end, bytes.length));
    this.at = Math.max(0, at);
  }
  get isOver(): boolean {
    return this.at >= this.end;
  }
  #take(width: number): number | undefined {
    const at = this.at;
    this.at += width;
    return this.at <= this.end ? at : undefined;
  }
  u8(): number {
    const at = this.#take(1);
    return at === undefined ? 0 : this.#view.getUint8(at);
  }
  s8(): number {
    return (this.u8() << 24) >> 24;
  }
  u16(): number {
    const at = this.#take(2);
    return at === undefined ? 0 : this.#view.getUint16(at, true);
  }
  u32(): number {
    const at = this.#take(4);
    return at === undefined ? 0 : this.#view.getUint32(at, true);
  }
  s32(): number {
    return this.u32() | 0;
  }
  /** Exact below 2^53, which addresses of programs are. */
  u64(): number {
    const low = this.u32();
    return this.u32() * 2 ** 32 + low;
  }
  s64(): number {
    const low = this.u32();
    return this.s32() * 2 ** 32 + low;
  }
  uleb(): number {
    let value = 0;
    let scale = 1;
    for (;;) {
      const byte = this.u8();
      value += (byte & 0x7f) * scale;
      if ((byte & 0x80) === 0) return value;
      scale *= 128;
    }
  }
  sleb(): number {
    let value = 0;
    let scale = 1;
    for (;;) {
      const byte = this.u8();
      value += (byte & 0x7f) * scale;
      scale *= 128;
      if ((byte & 0x80) === 0) return (byte & 0x40) !== 0 ? value - scale : value;
    }
  }
  /** Up to a NUL, which is passed over, or to the longest name there is. */
  string(): string {
    const codes: number[] = [];
    for (let code = this.u8(); code !== 0 && codes.length < LONGEST_NAME; code = this.u8()) {
      codes.push(code);
    }
    return new TextDecoder().decode(Uint8Array.from(codes));
  }
}
