/** A file whose code a program runs: names, lines and frames of its addresses, read when they are asked for first. */
import { CallFrameInfo } from './call-frame-info.ts';
import { ElfFile, type Inflate } from './elf.ts';
import { LineTable } from './line-table.ts';
import type { StackFrame } from './call-site.ts';

/** What a module is read with. */
export interface ModuleReader {
  /** All of the file; undefined: it cannot be read, or the program may not. */
  read(): Uint8Array | undefined;
  readonly inflate: Inflate;
}

/** One file of code. */
export class Module {
  /** Its path, as the program has it. */
  readonly name: string;
  readonly #reader: ModuleReader;
  #elf: ElfFile | undefined;
  #frames: CallFrameInfo | undefined;
  #lines: LineTable | undefined;

  constructor(name: string, reader: ModuleReader) {
    this.name = name;
    this.#reader = reader;
  }
  /** Without any section when the file cannot be read. */
  get elf(): ElfFile {
    this.#elf ??= new ElfFile(this.#reader.read() ?? new Uint8Array(), this.#reader.inflate);
    return this.#elf;
  }
  get frames(): CallFrameInfo {
    this.#frames ??= new CallFrameInfo(this.elf);
    return this.#frames;
  }
  /** What is known of an address. `looked`: the address whose line is meant, for one that a call returns to. */
  describe(address: number, looked = address): Omit<StackFrame, 'pc'> {
    this.#lines ??= new LineTable(this.elf);
    const symbol = this.elf.functionAt(looked);
    const source = this.#lines.lineAt(looked);
    return {
      module: this.name,
      offset: address,
      ...(symbol && { function: symbol.name }),
      ...(source && { source }),
    };
  }
}

/** Code that a program has mapped: addresses from `start` to `end`, exclusive, from a byte of the module's file on. */
export interface CodeMapping {
  readonly start: number;
  readonly end: number;
  readonly fileOffset: number;
  readonly module: Module;
}
/** A place in code: its mapping, and its address as the module counts. */
export interface CodePlace {
  readonly mapping: CodeMapping;
  readonly address: number;
}

/** Code by address. */
export function placeOf(code: readonly CodeMapping[], pc: number): CodePlace | undefined {
  const mapping = code.find(({ start, end }) => pc >= start && pc < end);
  if (!mapping) return undefined;
  const address = mapping.module.elf.addressOf(pc - mapping.start + mapping.fileOffset);
  return address === undefined ? undefined : { mapping, address };
}
