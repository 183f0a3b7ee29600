/** `softiommu report` of files: what is too large for a page, or no trace. */
import { existsSync, mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { reportOfTrace } from './trace-report.ts';

const folder = mkdtempSync(join(tmpdir(), 'trace-report-'));
afterAll(() => rmSync(folder, { recursive: true }));
const page = join(folder, 'page.html');

test('a trace that is larger than any text says how large it is, and how a part is made', () => {
  const trace = join(folder, 'large.jsonl');
  writeFileSync(trace, '{"v":1,"trace":"softiommu"}\n');
  truncateSync(trace, 600 * 2 ** 20);
  expect(() => reportOfTrace(trace, page)).toThrow(
    /large\.jsonl has 629145600 bytes, and a page holds \d+ at most: .*`softiommu trace .* --as json -o PART\.jsonl`$/,
  );
  expect(existsSync(page)).toBe(false);
});
test.each([
  ['', 'no trace of softiommu'],
  ['{"v":9,"trace":"softiommu"}\n', 'a trace of version 9'],
  ['# softiommu\n', 'no trace of softiommu'],
])('%j is no trace, and no page is made', (text, said) => {
  const trace = join(folder, 'none.jsonl');
  writeFileSync(trace, text);
  expect(() => reportOfTrace(trace, page)).toThrow(said);
  expect(existsSync(page)).toBe(false);
});
test('what is not there is one line', () => {
  expect(() => reportOfTrace(join(folder, 'nowhere'), page)).toThrow('there is no such file');
});
