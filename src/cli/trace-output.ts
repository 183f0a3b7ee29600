/** Where a trace in another form goes: standard output or a new file, in large pieces. */
import { closeSync, openSync } from 'node:fs';
import { printable } from '../machine/description/wording.ts';
import { systemReason } from '../host/sys/system-reason.ts';
import { writeAll } from '../host/sys/write-all.ts';
import { print } from './output.ts';
import { UserMistake } from './user-mistake.ts';

/** Written in pieces of so many bytes. */
const PIECE = 0x1_0000;

/** Lines or bytes, not both. Throws UserMistake when they cannot be written. */
export class TraceOutput implements Disposable {
  readonly #file: string | undefined;
  readonly #fd: number | undefined;
  #parts: Buffer[] = [];
  #length = 0;

  /** Undefined: standard output. Nothing that is there is overwritten. */
  constructor(file: string | undefined) {
    this.#file = file;
    this.#fd = file === undefined ? undefined : openNew(file);
  }
  line(text: string): void {
    this.bytes(Buffer.from(`${text}\n`));
  }
  bytes(part: Uint8Array): void {
    this.#parts.push(Buffer.from(part.buffer, part.byteOffset, part.byteLength));
    this.#length += part.byteLength;
    if (this.#length > PIECE) this.end();
  }
  /** Write what is held. */
  end(): void {
    const piece = Buffer.concat(this.#parts);
    this.#parts = [];
    this.#length = 0;
    if (piece.length === 0) return;
    if (this.#fd === undefined) {
      print(piece);
      return;
    }
    const error = writeAll(this.#fd, piece);
    if (error === undefined) return;
    throw new UserMistake(`${printable(this.#file!)} cannot be written: ${systemReason(error)}`);
  }
  [Symbol.dispose](): void {
    if (this.#fd !== undefined) closeSync(this.#fd);
  }
}

/** One output, or of a trace in parts one for each. */
export class TraceOutputs implements Disposable {
  readonly #file: string | undefined;
  readonly #outputs = new Map<string | undefined, TraceOutput>();

  constructor(file: string | undefined) {
    this.#file = file;
  }
  of(part?: string): TraceOutput {
    const known = this.#outputs.get(part);
    if (known) return known;
    const output = new TraceOutput(part === undefined ? this.#file : `${this.#file}.${part}`);
    this.#outputs.set(part, output);
    return output;
  }
  end(): void {
    for (const output of this.#outputs.values()) output.end();
  }
  [Symbol.dispose](): void {
    for (const output of this.#outputs.values()) output[Symbol.dispose]();
  }
}

function openNew(file: string): number {
  try {
    return openSync(file, 'wx');
  } catch (error) {
    throw new UserMistake(`${printable(file)} cannot be made: ${systemReason(error)}`);
  }
}
