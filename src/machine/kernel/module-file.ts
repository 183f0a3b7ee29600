/**
 * The file of a module, as far as it tells of itself (vfio.md 4.1): an ELF object with the section that modinfo(8) reads.
 *
 * NOT IMPLEMENTED: code. The modules of the simulated kernel are loaded already.
 */
import type { KernelModule } from './modules.ts';

const ET_REL = 1;
const EM_X86_64 = 62;
const HEADER_SIZE = 64;
const SECTION_SIZE = 64;
const SHT = { null: 0, progbits: 1, strtab: 3 } as const;
const SHF_ALLOC = 2n;

/** What the file says, field by field. */
function fieldsOf({ name, uses, aliases = [] }: KernelModule, release: string): string[] {
  return [
    'description=simulated by softiommu',
    ...aliases.map((alias) => `alias=${alias}`),
    `depends=${uses.join(',')}`,
    'intree=Y',
    `name=${name}`,
    `vermagic=${release} SMP mod_unload `,
  ];
}

/** The file of a module for a kernel of this release. */
export function moduleFile(module: KernelModule, release: string): Uint8Array {
  const encoder = new TextEncoder();
  const modinfo = encoder.encode(
    fieldsOf(module, release)
      .map((field) => `${field}\0`)
      .join(''),
  );
  const names = encoder.encode('\0.modinfo\0.shstrtab\0');
  const sections = [
    { name: 0, type: SHT.null, flags: 0n, bytes: new Uint8Array(0) },
    { name: 1, type: SHT.progbits, flags: SHF_ALLOC, bytes: modinfo },
    { name: 10, type: SHT.strtab, flags: 0n, bytes: names },
  ];
  const tableAt = Math.ceil((HEADER_SIZE + modinfo.length + names.length) / 8) * 8;
  const file = new Uint8Array(tableAt + sections.length * SECTION_SIZE);
  const view = new DataView(file.buffer);
  writeHeader(view, tableAt, sections.length);
  let at = HEADER_SIZE;
  for (const [n, { name, type, flags, bytes }] of sections.entries()) {
    const header = tableAt + n * SECTION_SIZE;
    if (type === SHT.null) continue;
    file.set(bytes, at);
    view.setUint32(header, name, true);
    view.setUint32(header + 4, type, true);
    view.setBigUint64(header + 8, flags, true);
    view.setBigUint64(header + 24, BigInt(at), true);
    view.setBigUint64(header + 32, BigInt(bytes.length), true);
    view.setBigUint64(header + 48, 1n, true);
    at += bytes.length;
  }
  return file;
}

/** ELF64, little-endian, relocatable. */
function writeHeader(view: DataView, tableAt: number, sections: number): void {
  const IDENT = [0x7f, 0x45, 0x4c, 0x46, 2, 1, 1];
  for (const [n, byte] of IDENT.entries()) view.setUint8(n, byte);
  view.setUint16(16, ET_REL, true);
  view.setUint16(18, EM_X86_64, true);
  view.setUint32(20, 1, true);
  view.setBigUint64(40, BigInt(tableAt), true);
  view.setUint16(52, HEADER_SIZE, true);
  view.setUint16(58, SECTION_SIZE, true);
  view.setUint16(60, sections, true);
  view.setUint16(62, sections - 1, true);
}
