/** Records of a directory in a buffer that another thread of the program can write at any time. */
import { describe, expect, test } from 'vitest';
import { LAYOUTS, records } from './listing.ts';

const RECORD = 24;

/** As the kernel leaves them: a name of one letter each. */
function listing(names: string): Buffer {
  const bytes = Buffer.alloc(names.length * RECORD);
  for (const [n, name] of Array.from(names).entries()) {
    bytes.writeUInt16LE(RECORD, n * RECORD + 16);
    bytes.write(name, n * RECORD + 19, 'latin1');
    bytes.write(name, n * RECORD + 18, 'latin1');
  }
  return bytes;
}
function namesOf(bytes: Buffer, layout: 'new' | 'old'): string[] {
  return [...records(bytes, LAYOUTS[layout])].map(({ name }) => name);
}

describe.for(['new', 'old'] as const)('%s records', (layout) => {
  const text = layout === 'new' ? ['a', 'b', 'c'] : ['aa', 'bb', 'cc'];

  test('have the names the kernel wrote', () => {
    expect(namesOf(listing('abc'), layout)).toEqual(text);
  });
  test.for([
    ['is 0', 0],
    ['ends before the name', 18],
    ['ends behind the buffer', 2 * RECORD + 1],
  ] as const)('one whose length %s ends the list, and its bytes stay', ([, length]) => {
    const bytes = listing('abc');
    bytes.writeUInt16LE(length, RECORD + 16);
    const found = [...records(bytes, LAYOUTS[layout])];
    expect(found.map(({ name }) => name)).toEqual([text[0], '']);
    expect(Buffer.concat(found.map(({ record }) => record))).toEqual(bytes);
  });
  test('a name without an end ends with its record', () => {
    const bytes = listing('a').fill('x', 18);
    expect(namesOf(bytes, layout)).toEqual(['x'.repeat(RECORD - LAYOUTS[layout].name)]);
  });
  test('what is too short for one is none', () => {
    expect(namesOf(Buffer.alloc(17), layout)).toEqual(['']);
  });
});
