/** The C header against a compiler, and against what a compiler said of the headers of a named kernel. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { cHeader } from '../src/insight/views/c-header.ts';

interface Golden {
  readonly structs: Record<string, { size: number; fields: Record<string, number> }>;
  readonly constants: Record<string, string>;
}
const golden = JSON.parse(
  readFileSync('test/golden/uapi-layout.linux-7.3.4.json', 'utf8'),
) as Golden;
const folder = mkdtempSync(join(tmpdir(), 'header-of-softiommu-'));
afterAll(() => {
  rmSync(folder, { recursive: true });
});
writeFileSync(join(folder, 'softiommu.h'), cHeader());

function compile(text: string): string {
  writeFileSync(join(folder, 'probe.c'), text);
  const flags = ['-Wall', '-Wextra', '-Werror', '-std=gnu11', '-fsyntax-only', 'probe.c'];
  const { error, stderr } = spawnSync('gcc', flags, { cwd: folder, encoding: 'utf8' });
  return error?.message ?? stderr;
}
const hasCompiler = spawnSync('gcc', ['--version']).status === 0;
const INCLUDE = '#include <stddef.h>\n#include "softiommu.h"\n';

test.skipIf(!hasCompiler)('every struct is that of Linux, field by field, for a C compiler', () => {
  const named = [...cHeader().matchAll(/^struct (\w+) \{\n([\s\S]*?)^\};/gm)];
  const asserts = named.flatMap(([, name, body]) => {
    const c = golden.structs[name!];
    const fields = [...body!.matchAll(/(\w+)(?:\[\d+\])?;/g)].map(([, field]) => field!);
    const offsets = fields
      .filter((field) => c?.fields[field] !== undefined)
      .map((field) => `offsetof(struct ${name}, ${field}) == ${c!.fields[field]}`);
    return c ? [`sizeof(struct ${name}) == ${c.size}`, ...offsets] : [];
  });
  expect(named.length).toBeGreaterThan(50);
  expect(asserts.length).toBeGreaterThan(300);
  const text = asserts.map((one) => `_Static_assert(${one}, "${one}");\n`).join('');
  expect(compile(INCLUDE + text)).toBe('');
  expect(
    compile(`${INCLUDE}_Static_assert(sizeof(struct iommu_ioas_map) == 1, "no");\n`),
  ).toContain('no');
});
test.skipIf(!hasCompiler)('every number is that of Linux', () => {
  const names = [...cHeader().matchAll(/^#define (\w+) \S/gm)].map(([, name]) => name!);
  const known = names.filter((name) => golden.constants[name] !== undefined);
  expect(known.length).toBeGreaterThan(150);
  const text = known
    .map(
      (name) =>
        `_Static_assert((unsigned)${name} == (unsigned)${golden.constants[name]}, "${name}");\n`,
    )
    .join('');
  expect(compile(INCLUDE + text)).toBe('');
});
test.skipIf(!hasCompiler)(
  "the system's own headers may be included after it, and change nothing",
  () => {
    const use =
      'int use(struct vfio_device_bind_iommufd *b, struct vfio_irq_set *s) { return b->iommufd + s->data[0]; }\n';
    expect(compile(`${INCLUDE}#include <linux/vfio.h>\n${use}`)).toBe('');
  },
);
