import { closeSync, openSync, readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { queryMapping } from '../sys/map-query.ts';
import { MemoryMap, parseMaps } from './memory-map.ts';

const TEXT = `55d0c0a00000-55d0c0a21000 rw-p 00000000 00:00 0                          [heap]
7f3c00000000-7f3c00200000 rw-s 00200000 00:0f 4711                       /anon_hugepage (deleted)
7f3c10000000-7f3c10002000 rw-s 10000000000 00:01 19054                      /memfd:softiommu:3 (deleted)
7f3c20000000-7f3c20001000 ---p 00000000 00:00 0 
7f3c30000000-7f3c30001000 r-xp 00003000 fe:01 123                        /a name/with  blanks
ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0                  [vsyscall]
`;

describe('/proc/PID/maps', () => {
  const lines = parseMaps(TEXT);
  test('/proc/PID/maps has one mapping a line, in pages', () => {
    expect(lines.map(({ start, end }) => end - start)).toEqual([0x21, 0x200, 2, 1, 1, 1]);
    expect(lines[0]!.start).toBe(0x55d0c0a00);
    expect(lines[5]!.start).toBe(0xffffffffff600);
  });
  test('/proc/PID/maps tells an object by device and inode, and private memory by none', () => {
    expect(lines.map(({ object }) => object)).toEqual([
      ...[undefined, '00:0f:4711', '00:01:19054', undefined, 'fe:01:123', undefined],
    ]);
    expect(lines[2]!.objectOffset).toBe(0x10000000);
  });
  test('/proc/PID/maps tells what may be done', () => {
    expect(lines.map((line) => [line.readable, line.writable, line.shared])).toEqual([
      [true, true, false],
      [true, true, true],
      [true, true, true],
      [false, false, false],
      [true, false, false],
      [false, false, false],
    ]);
  });
  test('/proc/PID/maps keeps names whole', () => {
    expect(lines.map(({ name }) => name)).toEqual([
      ...['[heap]', '/anon_hugepage (deleted)', '/memfd:softiommu:3 (deleted)'],
      ...['', '/a name/with  blanks', '[vsyscall]'],
    ]);
  });
});

describe('whether pages are written back', () => {
  const asked: string[] = [];
  const map = new MemoryMap(
    () => undefined,
    () => false,
    (_pid, object) => asked.push(object) > 0,
  );
  const ofFile = (): boolean | undefined =>
    map.mappings(process.pid).find(({ object }) => object !== undefined)?.writeback;

  test('is asked of an object once in a turn, for any number of pages', () => {
    expect([ofFile(), ofFile(), ofFile()]).toEqual([true, true, true]);
    expect(asked).toHaveLength(1);
  });
  test('is asked again in the next, since programs have run: a mount may have gone', () => {
    map.newTurn();
    ofFile();
    expect(asked).toHaveLength(2);
  });
});

describe('PROCMAP_QUERY', () => {
  const fd = openSync('/proc/self/maps', 'r');
  const isKnown = queryMapping(fd, 0) !== 'unknown';
  closeSync(fd);

  test('PROCMAP_QUERY says of a file mapping what /proc/PID/maps says', ({ skip }) => {
    skip(!isKnown, 'this kernel is older than 6.11');
    const ofFiles = parseMaps(readFileSync('/proc/self/maps', 'latin1')).filter(
      (line) => line.object !== undefined && !line.writable,
    );
    expect(ofFiles.length).toBeGreaterThan(3);
    const maps = openSync('/proc/self/maps', 'r');
    for (const line of ofFiles) expect(queryMapping(maps, line.end - 1)).toEqual(line);
    closeSync(maps);
  });
  test('PROCMAP_QUERY says that nothing is mapped at address 0', ({ skip }) => {
    skip(!isKnown, 'this kernel is older than 6.11');
    const maps = openSync('/proc/self/maps', 'r');
    expect(queryMapping(maps, 0)).toBe('none');
    closeSync(maps);
  });
});
