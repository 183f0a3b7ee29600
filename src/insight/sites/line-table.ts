/** Lines of source code by address: .debug_line, of DWARF 2 to 5 (DWARF 5, 6.2). */
import { ByteReader } from './bytes.ts';
import type { ElfFile } from './elf.ts';
import type { SourceLine } from './call-site.ts';

/** Addresses from `start` to `end`, exclusive, are of one line. */
interface LineRange {
  readonly start: number;
  readonly end: number;
  readonly file: number;
  readonly line: number;
  readonly unit: Unit;
}
/** What a program of line numbers begins with. */
interface Unit {
  readonly version: number;
  readonly minimumLength: number;
  readonly lineBase: number;
  readonly lineRange: number;
  readonly opcodeBase: number;
  /** Operands of the standard opcodes, by opcode. */
  readonly operands: readonly number[];
  readonly directories: readonly string[];
  readonly files: readonly FileEntry[];
}
interface FileEntry {
  readonly name: string;
  readonly directory: number;
}
/** Where names of DWARF 5 may be. */
interface Strings {
  readonly line: Uint8Array;
  readonly debug: Uint8Array;
}

/** The lines of one module, read when they are asked for first. */
export class LineTable {
  readonly #elf: ElfFile;
  #ranges: readonly LineRange[] | undefined;

  constructor(elf: ElfFile) {
    this.#elf = elf;
  }
  /** Undefined: the module was compiled without -g, or the address has no line. */
  lineAt(address: number): SourceLine | undefined {
    this.#ranges ??= readRanges(this.#elf);
    const range = this.#ranges.find(({ start, end }) => address >= start && address < end);
    if (!range || range.line === 0) return undefined;
    const file = fileName(range);
    return file === undefined ? undefined : { file, line: range.line };
  }
}

function fileName({ unit, file }: LineRange): string | undefined {
  const first = unit.version >= 5 ? 0 : 1;
  const entry = unit.files[file - first];
  if (!entry) return undefined;
  if (entry.directory === 0 || entry.name.startsWith('/')) return entry.name;
  const directory = unit.directories[entry.directory - first];
  return directory === undefined ? entry.name : `${directory}/${entry.name}`;
}

function readRanges(elf: ElfFile): LineRange[] {
  const bytes = elf.section('.debug_line')?.bytes;
  if (!bytes) return [];
  const strings = {
    line: elf.section('.debug_line_str')?.bytes ?? new Uint8Array(),
    debug: elf.section('.debug_str')?.bytes ?? new Uint8Array(),
  };
  const ranges: LineRange[] = [];
  const reader = new ByteReader(bytes);
  while (!reader.isOver) {
    const length = reader.u32();
    if (length >= 0xfffffff0) break; // DWARF of 64 bits
    const end = reader.at + length;
    readUnit(new ByteReader(bytes, reader.at, end), strings, ranges);
    reader.at = end;
  }
  return ranges;
}

function readUnit(reader: ByteReader, strings: Strings, ranges: LineRange[]): void {
  const version = reader.u16();
  if (version < 2 || version > 5) return;
  if (version >= 5) reader.at += 2; // sizes of addresses and selectors
  const headerLength = reader.u32();
  const programAt = reader.at + headerLength;
  const minimumLength = reader.u8();
  if (version >= 4) reader.u8(); // operations in an instruction: 1
  reader.u8(); // is_stmt to begin with
  const [lineBase, lineRange, opcodeBase] = [reader.s8(), reader.u8(), reader.u8()];
  const operands = [0, ...Array.from({ length: Math.max(0, opcodeBase - 1) }, () => reader.u8())];
  const tables = version >= 5 ? tablesOf5(reader, strings) : tablesOf2(reader);
  const unit = { version, minimumLength, lineBase, lineRange, opcodeBase, operands, ...tables };
  reader.at = programAt;
  new LineMachine(unit, ranges).run(reader);
}
function tablesOf2(reader: ByteReader): Pick<Unit, 'directories' | 'files'> {
  const directories: string[] = [];
  for (let name = reader.string(); name !== ''; name = reader.string()) directories.push(name);
  const files: FileEntry[] = [];
  for (let name = reader.string(); name !== ''; name = reader.string()) {
    files.push({ name, directory: reader.uleb() });
    reader.uleb(); // time
    reader.uleb(); // length
  }
  return { directories, files };
}
function tablesOf5(reader: ByteReader, strings: Strings): Pick<Unit, 'directories' | 'files'> {
  const directories = entriesOf5(reader, strings).map(({ name }) => name);
  return { directories, files: entriesOf5(reader, strings) };
}
const CONTENT = { path: 1, directory: 2 } as const;
function entriesOf5(reader: ByteReader, strings: Strings): FileEntry[] {
  const formats = Array.from(
    { length: reader.u8() },
    () => [reader.uleb(), reader.uleb()] as const,
  );
  const count = reader.uleb();
  const entries: FileEntry[] = [];
  for (let n = 0; n < count && !reader.isOver; n++) {
    let [name, directory] = ['', 0];
    for (const [content, form] of formats) {
      const value = readForm(reader, form, strings);
      if (content === CONTENT.path) name = String(value);
      else if (content === CONTENT.directory) directory = Number(value);
    }
    entries.push({ name, directory });
  }
  return entries;
}
const FORMS: Readonly<Record<number, (reader: ByteReader, strings: Strings) => string | number>> = {
  0x05: (reader) => reader.u16(),
  0x06: (reader) => reader.u32(),
  0x07: (reader) => reader.u64(),
  0x08: (reader) => reader.string(),
  0x09: (reader) => skip(reader, reader.uleb()),
  0x0b: (reader) => reader.u8(),
  0x0e: (reader, { debug }) => new ByteReader(debug, reader.u32()).string(),
  0x0f: (reader) => reader.uleb(),
  0x1e: (reader) => skip(reader, 16),
  0x1f: (reader, { line }) => new ByteReader(line, reader.u32()).string(),
};
function readForm(reader: ByteReader, form: number, strings: Strings): string | number {
  return FORMS[form]?.(reader, strings) ?? 0;
}
function skip(reader: ByteReader, length: number): number {
  reader.at += length;
  return 0;
}

/** Carries out a program of line numbers, and keeps the ranges it makes. */
class LineMachine {
  readonly #unit: Unit;
  readonly #ranges: LineRange[];
  #address = 0;
  #file = 1;
  #line = 1;
  #before: { address: number; file: number; line: number } | undefined;

  constructor(unit: Unit, ranges: LineRange[]) {
    this.#unit = unit;
    this.#ranges = ranges;
  }
  run(code: ByteReader): void {
    const { opcodeBase, lineBase, lineRange, minimumLength } = this.#unit;
    while (!code.isOver) {
      const opcode = code.u8();
      if (opcode >= opcodeBase && lineRange > 0) {
        const adjusted = opcode - opcodeBase;
        this.#address += Math.trunc(adjusted / lineRange) * minimumLength;
        this.#line += lineBase + (adjusted % lineRange);
        this.#row();
      } else if (opcode === 0) this.#extended(code);
      else this.#standard(opcode, code);
    }
  }
  #standard(opcode: number, code: ByteReader): void {
    const { minimumLength, opcodeBase, lineRange, operands } = this.#unit;
    switch (opcode) {
      case 1:
        this.#row();
        return;
      case 2:
        this.#address += code.uleb() * minimumLength;
        return;
      case 3:
        this.#line += code.sleb();
        return;
      case 4:
        this.#file = code.uleb();
        return;
      case 8:
        this.#address += Math.trunc((255 - opcodeBase) / lineRange) * minimumLength;
        return;
      case 9:
        this.#address += code.u16();
        return;
      default:
        for (let n = 0; n < (operands[opcode] ?? 0); n++) code.uleb();
    }
  }
  #extended(code: ByteReader): void {
    const length = code.uleb();
    const end = code.at + length;
    const opcode = code.u8();
    if (opcode === 1) this.#endSequence();
    else if (opcode === 2) this.#address = code.u64();
    code.at = end;
  }
  #row(): void {
    this.#keep();
    this.#before = { address: this.#address, file: this.#file, line: this.#line };
  }
  #endSequence(): void {
    this.#keep();
    this.#before = undefined;
    this.#address = 0;
    this.#file = 1;
    this.#line = 1;
  }
  #keep(): void {
    if (!this.#before || this.#address <= this.#before.address) return;
    const { address: start, file, line } = this.#before;
    this.#ranges.push({ start, end: this.#address, file, line, unit: this.#unit });
  }
}
