/** A trace in parts: a part for each process, of which few are open at a time. */
import { mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { TraceParts } from '../launch/trace-file.ts';
import { MOST_OPEN_PARTS, TraceFiles, type TraceTarget } from './trace-files.ts';

const folder = mkdtempSync(join(tmpdir(), 'trace-files-'));
afterAll(() => rmSync(folder, { recursive: true }));

/** A trace with these parts behind that of the machine; each is begun. */
function begin(name: string, parts: readonly string[]) {
  const file = join(folder, `${name}.jsonl`);
  const files = new TraceParts(file);
  const said: string[] = [];
  const open = (part: string): number => files.open(part);
  const target = { name: 'the trace', fd: open('machine'), first: 'machine', open };
  // cast: views are of no concern to it
  const trace = new TraceFiles(target as unknown as TraceTarget, (text) => said.push(text));
  const printers = parts.map((part) => trace.printTo(part));
  return { trace, said, printers, at: (part: string) => `${file}.${part}` };
}
const numbers = (most: number): string[] => Array.from({ length: most }, (_, n) => String(n));
const openHere = (): number => readdirSync('/proc/self/fd').length;

test('of many parts few are open at a time, and each has all of its lines', () => {
  const before = openHere();
  const parts = ['machine', ...numbers(3 * MOST_OPEN_PARTS)];
  const { trace, said, printers, at } = begin('many', parts);
  for (const line of ['one', 'two']) for (const print of printers) print(line);
  // Besides them the directory.
  expect(openHere() - before).toBe(MOST_OPEN_PARTS + 1);
  expect(trace.close()).toBe(true);
  expect(openHere() - before).toBe(1);
  expect(said).toEqual([]);
  const wrong = parts.filter((part) => readFileSync(at(part), 'utf8') !== 'one\ntwo\n');
  expect(wrong).toEqual([]);
});
test.each([
  ['gone', undefined, 'there is no such file'],
  ['another file by now', 'mine', 'it is another file than the one that was begun'],
])('a part that is %s ends the trace, which is said once', (name, content, why) => {
  const { trace, said, printers, at } = begin(name, numbers(2 * MOST_OPEN_PARTS));
  if (content === undefined) rmSync(at('0'));
  else {
    writeFileSync(join(folder, 'mine'), content);
    renameSync(join(folder, 'mine'), at('0'));
  }
  for (const print of printers) print('line');
  expect(trace.close()).toBe(false);
  expect(said).toEqual([expect.stringContaining(`: ${why}`)]);
  if (content !== undefined) expect(readFileSync(at('0'), 'utf8')).toBe(content);
});
