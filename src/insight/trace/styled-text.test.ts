/** Bytes and constants as strace writes them, by its options. */
import { describe, expect, test } from 'vitest';
import { bytesText, constantText } from './styled-text.ts';
import { PLAIN_STYLE, type TextStyle } from './text-style.ts';

const styled = (style: Partial<TextStyle>): TextStyle => ({ ...PLAIN_STYLE, ...style });
const bytes = (text: string): Uint8Array => Buffer.from(text, 'latin1');

describe('bytes', () => {
  test.each<[string, string]>([
    ['ascii "x" \\', '"ascii \\"x\\" \\\\"'],
    ['\t\n\v\f\r', '"\\t\\n\\v\\f\\r"'],
    ['\x07\x00', '"\\7\\0"'],
    ['\x011\x019\x7f\xff', '"\\0011\\19\\177\\377"'],
  ])('%j: text as it is, other bytes in octal', (text, shown) => {
    expect(bytesText(bytes(text), PLAIN_STYLE)).toBe(shown);
  });
  test.each<[TextStyle['hexBytes'], string, string]>([
    ['unprintable', 'a\tb', '"a\\tb"'],
    ['unprintable', 'a\x01', '"\\x61\\x01"'],
    ['always', 'ab', '"\\x61\\x62"'],
  ])('%s in hex: %j', (hexBytes, text, shown) => {
    expect(bytesText(bytes(text), styled({ hexBytes }))).toBe(shown);
  });
  test('as many as are wanted, and a mark that there were more', () => {
    expect(bytesText(bytes('abcdef'), styled({ shownBytes: 3 }))).toBe('"abc"...');
    expect(bytesText(bytes('abc'), styled({ shownBytes: 3 }))).toBe('"abc"');
    expect(bytesText(bytes('abc'), styled({ shownBytes: 3 }), 9)).toBe('"abc"...');
  });
});

test.each<[string, string, string]>([
  ['O_RDWR', '2', '2 /* O_RDWR */'],
  ['AT_FDCWD', '-100', '-100 /* AT_FDCWD */'],
  ['O_RDWR|O_NONBLOCK', '0x802', '0x802 /* O_RDWR|O_NONBLOCK */'],
  [
    'IOMMU_IOAS_MAP_FIXED_IOVA|IOMMU_IOAS_MAP_READABLE|0x10',
    '0x15',
    '0x15 /* IOMMU_IOAS_MAP_FIXED_IOVA|IOMMU_IOAS_MAP_READABLE|0x10 */',
  ],
  ['0000:00:04.0', '0000:00:04.0', '0000:00:04.0'],
])('%s by number, and by both', (text, raw, verbose) => {
  const as = (constants: TextStyle['constants']) => constantText(text, styled({ constants }));
  expect([as('abbrev'), as('raw'), as('verbose')]).toEqual([text, raw, verbose]);
});
