/** A module of a program: an ELF file of 64 bits, as far as stacks and names need it. Any bytes can be asked; what makes no sense is empty. */
import { lastAtOrBelow } from '../../base/binary-search.ts';
import { ByteReader } from './bytes.ts';

const MAGIC = 0x464c457f;
const PT_LOAD = 1;
const SHT_SYMTAB = 2;
const SHT_NOBITS = 8;
const SHT_DYNSYM = 11;
const SHF_COMPRESSED = 0x800;
const COMPRESSED_HEADER = 24;
const ELFCOMPRESS_ZLIB = 1;
const STT_FUNC = 2;
const STT_GNU_IFUNC = 10;
const SECTION_HEADER = 64;
const SEGMENT_HEADER = 56;
const SYMBOL = 24;
/** More sections or segments no sound file has. */
const MOST_HEADERS = 10_000;

/** A part of the file that is loaded; offsets and addresses in bytes. */
interface Segment {
  readonly offset: number;
  readonly address: number;
  readonly length: number;
}
/** A section: its place in the file, and the address it is loaded at. */
export interface ElfSection {
  readonly name: string;
  readonly type: number;
  readonly flags: number;
  readonly address: number;
  readonly offset: number;
  readonly size: number;
  readonly link: number;
}
/** A function by its name. */
export interface FunctionSymbol {
  readonly name: string;
  readonly address: number;
  readonly size: number;
}
/** Undoes zlib; undefined: these bytes are not of it. */
export type Inflate = (bytes: Uint8Array) => Uint8Array | undefined;

/** A file that programs have mapped. */
export class ElfFile {
  readonly #bytes: Uint8Array;
  readonly #inflate: Inflate;
  readonly #segments: Segment[] = [];
  readonly sections: readonly ElfSection[];
  #functions: readonly FunctionSymbol[] | undefined;

  constructor(bytes: Uint8Array, inflate: Inflate) {
    this.#bytes = bytes;
    this.#inflate = inflate;
    const head = new ByteReader(bytes);
    const isElf64 = head.u32() === MAGIC && head.u8() === 2 && head.u8() === 1;
    this.sections = isElf64 ? this.#headers() : [];
  }
  /** The segments, and the sections. */
  #headers(): ElfSection[] {
    const head = new ByteReader(this.#bytes, 32);
    const [segmentsAt, sectionsAt] = [head.u64(), head.u64()];
    head.at = 56;
    const segments = Math.min(head.u16(), MOST_HEADERS);
    head.at = 60;
    const [sections, names] = [Math.min(head.u16(), MOST_HEADERS), head.u16()];
    for (let n = 0; n < segments; n++) this.#addSegment(segmentsAt + n * SEGMENT_HEADER);
    const found = Array.from({ length: sections }, (_, n) =>
      this.#section(sectionsAt + n * SECTION_HEADER),
    );
    const strings = found[names]?.offset ?? 0;
    return found.map(({ nameAt, ...section }) => ({
      ...section,
      name: this.#stringAt(strings + nameAt),
    }));
  }
  #addSegment(at: number): void {
    const header = new ByteReader(this.#bytes, at);
    if (header.u32() !== PT_LOAD) return;
    header.u32();
    const [offset, address] = [header.u64(), header.u64()];
    header.u64();
    this.#segments.push({ offset, address, length: header.u64() });
  }
  #section(at: number): Omit<ElfSection, 'name'> & { readonly nameAt: number } {
    const header = new ByteReader(this.#bytes, at);
    const [nameAt, type, flags] = [header.u32(), header.u32(), header.u64()];
    const [address, offset, size, link] = [header.u64(), header.u64(), header.u64(), header.u32()];
    return { nameAt, type, flags, address, offset, size, link };
  }
  #stringAt(at: number): string {
    return new ByteReader(this.#bytes, at).string();
  }

  /** The address of what is at a byte of the file; undefined: it is not loaded. */
  addressOf(offset: number): number | undefined {
    const segment = this.#segments.find(
      (one) => offset >= one.offset && offset < one.offset + one.length,
    );
    return segment && offset - segment.offset + segment.address;
  }
  /** The bytes at an address that is loaded, up to `length`; fewer where the file ends. */
  loaded(address: number, length: number): Uint8Array {
    const segment = this.#segments.find(
      (one) => address >= one.address && address < one.address + one.length,
    );
    if (!segment) return new Uint8Array();
    const at = address - segment.address + segment.offset;
    return this.#bytes.subarray(at, at + length);
  }
  /** A section and what is in it; undefined: the file has none of the name. */
  section(name: string): { readonly bytes: Uint8Array; readonly address: number } | undefined {
    const section = this.sections.find((one) => one.name === name && one.type !== SHT_NOBITS);
    const bytes = section && this.#bytesOf(section);
    return bytes && { bytes, address: section.address };
  }
  #bytesOf({ offset, size, flags }: ElfSection): Uint8Array | undefined {
    const bytes = this.#bytes.subarray(offset, offset + size);
    if ((flags & SHF_COMPRESSED) === 0) return bytes;
    const isZlib = new ByteReader(bytes).u32() === ELFCOMPRESS_ZLIB;
    return isZlib ? this.#inflate(bytes.subarray(COMPRESSED_HEADER)) : undefined;
  }

  /** The function at an address: of .symtab, or what the dynamic linker knows. */
  functionAt(address: number): FunctionSymbol | undefined {
    this.#functions ??= this.#readFunctions();
    const functions = this.#functions;
    const found = functions[lastAtOrBelow(functions, address, (each) => each.address)];
    return found && address < found.address + found.size ? found : undefined;
  }
  #readFunctions(): FunctionSymbol[] {
    const table =
      this.sections.find(({ type }) => type === SHT_SYMTAB) ??
      this.sections.find(({ type }) => type === SHT_DYNSYM);
    if (!table) return [];
    const strings = this.sections[table.link]?.offset ?? 0;
    const symbols = new ByteReader(this.#bytes, table.offset, table.offset + table.size);
    const functions: FunctionSymbol[] = [];
    while (symbols.at + SYMBOL <= symbols.end) {
      const [nameAt, info] = [symbols.u32(), symbols.u8()];
      symbols.at += 3;
      const [address, size] = [symbols.u64(), symbols.u64()];
      const type = info & 0xf;
      if (address === 0 || (type !== STT_FUNC && type !== STT_GNU_IFUNC)) continue;
      functions.push({ name: this.#stringAt(strings + nameAt), address, size });
    }
    return functions.sort((a, b) => a.address - b.address);
  }
}
