import { expect, test } from 'vitest';
import type { Finding } from './finding.ts';
import {
  isSuppressed,
  parseSuppressions,
  suppressionOf,
  type Suppression,
} from './suppressions.ts';

const FINDING: Finding = {
  kind: 'dma-after-unmap',
  pid: 1,
  about: 'on iova 0x1000',
  details: ['WRITE of size 4 by 0000:00:04.0'],
  places: [
    {
      title: 'unmapped here:',
      site: {
        frames: [
          { pc: 1, module: '/lib/libc.so.6', function: 'ioctl' },
          {
            pc: 2,
            module: '/bin/ring',
            function: 'ring_stop',
            source: { file: 'src/ring.c', line: 3 },
          },
        ],
      },
    },
  ],
};
function parsed(text: string): Suppression[] {
  const all = parseSuppressions(text);
  if (typeof all === 'string') throw new Error(all);
  return all;
}

test.each([
  ['dma-after-unmap:ring_stop', true],
  ['dma-after-unmap:ring_*', true],
  ['dma-after-unmap:ring_sto?', true],
  ['*:ring.c', true],
  ['*:src/ring.c', true],
  ['*:libc.so.6', true],
  ['*:*0000:00:04.0', true],
  ['unmap-short:ring_stop', false],
  ['dma-after-unmap:ring_sto', false],
  ['dma-after-unmap:r.ng_stop', false],
  ['# dma-after-unmap:*\n\n', false],
])('%j', (text, matches) => {
  const all = parsed(text);
  expect(isSuppressed(FINDING, all)).toBe(matches);
  expect(all.map(({ used }) => used)).toEqual(all.map(() => (matches ? 1 : 0)));
});
test('the line made of a finding suppresses it', () => {
  const line = suppressionOf(FINDING);
  expect(line).toBe('dma-after-unmap:ring_stop');
  expect(isSuppressed(FINDING, parsed(line))).toBe(true);
});
test('a finding without places is suppressed by its kind alone', () => {
  const bare = { ...FINDING, places: [] };
  expect(isSuppressed(bare, parsed(suppressionOf(bare)))).toBe(true);
});
test.each([
  ['ring_stop', "line 1: 'ring_stop' is not KIND:GLOB"],
  ['\nleak:', "line 2: 'leak:' is not KIND:GLOB"],
  ['leek:main', "line 1: 'leek' is no kind of finding"],
])('%j is refused', (text, message) => {
  expect(parseSuppressions(text)).toContain(message);
});
