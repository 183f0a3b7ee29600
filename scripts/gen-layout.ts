// Asks a C compiler for the size and field offsets of every uapi struct we declare, and the value of every constant,
// from the headers of one named kernel:  npx tsx scripts/gen-layout.ts HEADERS KERNEL
// (HEADERS: an unpacked linux-libc-dev, usr/include.) Writes test/golden/uapi-layout.linux-KERNEL.json.
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

interface Declared {
  cName: string;
  size: number;
  offsets: Record<string, number>;
}
const [headers, kernel] = process.argv.slice(2);
if (!headers || !kernel || !existsSync(join(headers, 'linux/iommufd.h'))) {
  console.error(
    'usage: npx tsx scripts/gen-layout.ts HEADERS KERNEL   (HEADERS holds linux/iommufd.h)',
  );
  process.exit(2);
}

/** Our flat name of a field: its path in C, where that is nested, in a union, or chosen by a flag. */
const PATHS: Record<string, string> = {
  'vfio_iommu_type1_dirty_bitmap_get.pgsize': 'bitmap.pgsize',
  'vfio_iommu_type1_dirty_bitmap_get.bitmap_size': 'bitmap.size',
  'vfio_iommu_type1_dirty_bitmap_get.data': 'bitmap.data',
  'vfio_pci_dependent_device.id': 'group_id',
};

const structs: Declared[] = [];
const constants: string[] = [];
for (const name of readdirSync('src/uapi').filter(
  (n) => n.endsWith('.ts') && !n.includes('.test.'),
)) {
  const exported = (await import(`../src/uapi/${name}`)) as Record<string, unknown>;
  for (const [key, value] of Object.entries(exported)) {
    if (typeof value === 'number' && /^[A-Z][A-Za-z0-9_]+$/.test(key)) constants.push(key);
    else if (typeof value === 'object' && value !== null && 'cName' in value)
      structs.push(value as Declared);
  }
}

const dir = mkdtempSync(join(tmpdir(), 'layout-'));
const INCLUDES = ['linux/iommufd.h', 'linux/vfio.h', 'linux/pci_regs.h', 'linux/eventfd.h'];
const HEAD =
  '#include <stdio.h>\n#include <stddef.h>\n#include <sys/ioctl.h>\n' +
  INCLUDES.filter((file) => existsSync(join(headers, file)))
    .map((file) => `#include <${file}>\n`)
    .join('');

function compile(body: string): string | undefined {
  const source = join(dir, 'probe.c');
  writeFileSync(source, `${HEAD}int main(void) {\n${body}\nreturn 0; }\n`);
  const flags = ['-w', '-isystem', headers!, '-isystem', join(headers!, 'x86_64-linux-gnu')];
  try {
    execFileSync('gcc', [...flags, '-o', join(dir, 'probe'), source], {
      stdio: ['ignore', 'ignore', 'ignore'],
    });
    return execFileSync(join(dir, 'probe'), { encoding: 'utf8' });
  } catch {
    return undefined;
  }
}

const golden: {
  kernel: string;
  structs: Record<string, object>;
  constants: Record<string, string>;
  absent: string[];
} = {
  kernel,
  structs: {},
  constants: {},
  absent: [],
};
for (const { cName, offsets } of structs.sort((a, b) => a.cName.localeCompare(b.cName))) {
  const size = compile(`printf("%zu", sizeof(struct ${cName}));`);
  if (size === undefined) {
    golden.absent.push(cName);
    continue;
  }
  const fields: Record<string, number> = {};
  for (const field of Object.keys(offsets)) {
    const at = compile(
      `printf("%zu", offsetof(struct ${cName}, ${PATHS[`${cName}.${field}`] ?? field}));`,
    );
    if (at === undefined) golden.absent.push(`${cName}.${field}`);
    else fields[field] = Number(at);
  }
  golden.structs[cName] = { size: Number(size), fields };
}
for (const name of constants.sort()) {
  const value = compile(`printf("%lld", (long long)(${name}));`);
  if (value === undefined) golden.absent.push(name);
  else golden.constants[name] = value;
}
const out = `test/golden/uapi-layout.linux-${kernel}.json`;
writeFileSync(out, JSON.stringify(golden, null, 1) + '\n');
console.log(
  `${out}: ${Object.keys(golden.structs).length} structs, ${Object.keys(golden.constants).length} constants`,
);
if (golden.absent.length > 0) console.log(`not in these headers: ${golden.absent.join(', ')}`);
