// Every struct and constant of src/uapi against what a C compiler said of the headers of a named kernel
// (scripts/gen-layout.ts). A name that the headers do not have must be excused here, with the reason.
import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';

interface Golden {
  readonly kernel: string;
  readonly structs: Record<string, { size: number; fields: Record<string, number> }>;
  readonly constants: Record<string, string>;
  readonly absent: string[];
}
interface Declared {
  readonly cName: string;
  readonly size: number;
  readonly offsets: Record<string, number>;
}

/** Names the public headers do not have. */
const EXCUSED: readonly [pattern: RegExp, reason: string][] = [
  [
    /^iommu_test_|^IOMMU_TEST_|^MOCK_|^TEST_|_selftest|_SELFTEST/,
    'declared in the selftest header, which is not public',
  ],
  [
    /^VFIO_TYPE1_NESTING_IOMMU$/,
    'a reserved number in these headers: the type was taken away in 6.13',
  ],
];

const golden = JSON.parse(
  readFileSync('test/golden/uapi-layout.linux-7.3.4.json', 'utf8'),
) as Golden;
const structs: Declared[] = [];
const constants: [string, number][] = [];
for (const name of readdirSync('src/uapi').filter(
  (n) => n.endsWith('.ts') && !n.includes('.test.'),
)) {
  const exported = (await import(/* @vite-ignore */ `../src/uapi/${name}`)) as Record<
    string,
    unknown
  >;
  for (const [key, value] of Object.entries(exported)) {
    if (typeof value === 'number' && /^[A-Z][A-Za-z0-9_]+$/.test(key)) constants.push([key, value]);
    else if (typeof value === 'object' && value !== null && 'cName' in value)
      structs.push(value as Declared);
  }
}
const isExcused = (name: string): boolean => EXCUSED.some(([pattern]) => pattern.test(name));

describe(`the uapi equals that of Linux ${golden.kernel}`, () => {
  test.for(structs.filter((s) => !isExcused(s.cName)))(
    'struct $cName is that of Linux',
    ({ cName, size, offsets }) => {
      const c = golden.structs[cName];
      expect(c, `${cName} is not in the golden file: run scripts/gen-layout.ts`).toBeDefined();
      expect(size).toBe(c!.size);
      const known = Object.entries(offsets).filter(([field]) => !isPadding(field));
      expect(Object.fromEntries(known)).toEqual(
        Object.fromEntries(known.map(([field]) => [field, c!.fields[field]])),
      );
    },
  );
  test('the constants are those of Linux', () => {
    const ours = constants.filter(([name]) => !isExcused(name));
    expect(Object.fromEntries(ours.map(([name, value]) => [name, value >>> 0]))).toEqual(
      Object.fromEntries(
        ours.map(([name]) => [
          name,
          Number(BigInt.asUintN(32, BigInt(golden.constants[name] ?? -1))),
        ]),
      ),
    );
  });
});

/** Padding we had to name, where C has none: __pad… is ours, __reserved is the header's. */
function isPadding(field: string): boolean {
  return field.startsWith('__pad');
}
