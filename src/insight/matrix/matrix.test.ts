/** Logs of calls beside each other, held against a slow search for the longest common subsequence. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { alignLogs, differs, MOST_DIFFERENCES } from './align.ts';
import { callLog, type LoggedCall } from './call-log.ts';
import { allWell, matrixData, matrixText, type MatrixCell } from './matrix-report.ts';

const log = (text: string): LoggedCall[] =>
  Array.from(text, (call) => ({ call, result: 'ok', times: 1 }));

/** Its length, by the table of all beginnings. */
function longest(a: string, b: string): number {
  const rows = Array.from({ length: a.length + 1 }, () => new Array<number>(b.length + 1).fill(0));
  for (let x = 1; x <= a.length; x++) {
    for (let y = 1; y <= b.length; y++) {
      const [left, above] = [rows[x]![y - 1]!, rows[x - 1]![y]!];
      rows[x]![y] = a[x - 1] === b[y - 1] ? rows[x - 1]![y - 1]! + 1 : Math.max(left, above);
    }
  }
  return rows[a.length]![b.length]!;
}

describe('logs', () => {
  const word = fc.string({ unit: fc.constantFrom('a', 'b', 'c', 'd'), maxLength: 14 });
  test('of two have as many rows in common as can be, and each keeps its order', () => {
    fc.assert(
      fc.property(word, word, (a, b) => {
        const rows = alignLogs([log(a), log(b)]);
        const column = (n: number): string =>
          rows.flatMap(({ call, results }) => (results[n] === undefined ? [] : call)).join('');
        expect([column(0), column(1)]).toEqual([a, b]);
        const common = rows.filter(({ results }) => results.every((one) => one !== undefined));
        expect(common).toHaveLength(longest(a, b));
      }),
    );
  });
  test('of three keep their order too, and no row is empty', () => {
    fc.assert(
      fc.property(word, word, word, (...words) => {
        const rows = alignLogs(words.map(log));
        for (const [n, own] of words.entries()) {
          const column = rows.filter(({ results }) => results[n] !== undefined);
          expect(column.map(({ call }) => call).join('')).toBe(own);
        }
        expect(rows.filter(({ results }) => !results.some(Boolean))).toEqual([]);
      }),
    );
  });
  test('that have nothing in common for long stand one behind the other', () => {
    const many = (letter: string) =>
      Array.from({ length: MOST_DIFFERENCES }, () => log(letter)[0]!);
    const rows = alignLogs([many('a'), [...many('b'), ...log('a')]]);
    expect(rows).toHaveLength(2 * MOST_DIFFERENCES + 1);
  });
  test('a row differs by its answer, or where the call is not', () => {
    const refused = { call: 'a', result: 'EINVAL', times: 2 };
    const rows = alignLogs([log('ab'), [refused]]);
    expect(rows).toEqual([
      { call: 'a', results: ['ok', 'EINVAL x 2'] },
      { call: 'b', results: ['ok', undefined] },
    ]);
    expect(rows.map(differs)).toEqual([true, true]);
    expect(alignLogs([log('a'), log('a')]).map(differs)).toEqual([false]);
  });
});

describe('a call of a trace', () => {
  const line = (event: object): string => JSON.stringify({ seq: 1, timeNs: 1, event });
  const call = (event: object) => line({ kind: 'leave', what: 'syscall', refusals: [], ...event });
  test('has its command, what it asks by name, and its answer; equal ones in a row are one', () => {
    const open = { name: 'openat', file: '/dev/vfio/0' };
    const ioctl = { name: 'ioctl', file: '/dev/vfio/vfio', command: 'VFIO_SET_IOMMU' };
    const lines = [
      '{"v":1,"trace":"softiommu"}',
      call({ ...open, result: 'ENOENT' }),
      call({ ...open, result: 7 }),
      call({ ...ioctl, args: { arg: 'VFIO_TYPE1_IOMMU' }, result: 0 }),
      call({ ...ioctl, args: { arg: 'VFIO_TYPE1_IOMMU' }, result: 0 }),
      call({ name: 'ioctl', command: 'VFIO_GROUP_SET_CONTAINER', args: { arg: 3 }, result: 0 }),
      call({ name: 'pread64', file: 'anon_inode:[vfio-device]', result: 4 }),
      call({ name: 'mmap', file: 'anon_inode:[vfio-device]' }),
      call({ name: 'close', file: '/dev/vfio/0', result: 0 }),
      line({ kind: 'leave', what: 'access', name: 'load', refusals: [] }),
      line({ kind: 'enter', what: 'syscall', ...open }),
      '{"seq":9,"ev',
    ];
    expect(callLog(lines).map(({ call: text, result, times }) => [text, result, times])).toEqual([
      ['openat /dev/vfio/0', 'ENOENT', 1],
      ['openat /dev/vfio/0', 'ok', 1],
      ['VFIO_SET_IOMMU VFIO_TYPE1_IOMMU', '0', 2],
      ['VFIO_GROUP_SET_CONTAINER', '0', 1],
      ['pread64 anon_inode:[vfio-device]', '4', 1],
      ['mmap anon_inode:[vfio-device]', 'ok', 1],
    ]);
  });
  test('what is left in the register of a command without an argument is no part of it', () => {
    const line = (arg: string): string => {
      const event = {
        kind: 'leave',
        what: 'syscall',
        command: 'VFIO_GET_API_VERSION',
        args: { arg },
      };
      return JSON.stringify({ event: { ...event, result: 0 } });
    };
    expect(callLog([line('0x7ffeeb87c5bc'), line('0x7ffc2b89f25c')])).toEqual([
      { call: 'VFIO_GET_API_VERSION', result: '0', times: 2 },
    ]);
  });
});

describe('a matrix', () => {
  const cell = (backend: string, rest: Partial<MatrixCell>): MatrixCell => ({
    ...{ machine: 'm.yaml', backend, kernel: '6.1', calls: [], ...rest },
  });
  const CELLS = [
    cell('type1', { end: { status: 0 }, calls: log('ab') }),
    cell('cdev', { skipped: 'Linux 6.1 has none' }),
    cell('compat', { end: { signal: 'SIGABRT' }, calls: log('b') }),
  ];
  test('shows how each run ended, and the calls that differ', () => {
    expect(matrixText(CELLS).split('\n')).toEqual([
      '   machine  backend  kernel  the program',
      '1  m.yaml   type1    6.1     Exit status 0',
      '-  m.yaml   cdev     6.1     not run: Linux 6.1 has none',
      '2  m.yaml   compat   6.1     Killed by SIGABRT',
      '',
      'call  1   2',
      'a     ok  -',
      '',
      '2 calls, 1 of them not the same everywhere',
      '',
    ]);
  });
  test('says of a program that did not end that it did not, and shows no escapes', () => {
    const calls = [{ call: 'openat /tmp/\x1b[2J', result: 'ok', times: 1 }];
    const cells = [
      cell('type1', { end: { hung: true }, calls }),
      cell('cdev', { end: { status: 0 } }),
    ];
    const text = matrixText(cells);
    expect(text).toMatch(/^1 .* did not end in time$/m);
    expect(text).toContain(String.raw`openat /tmp/\x1b[2J  ok  -`);
    expect(text).not.toContain('\x1b');
    expect(allWell(cells)).toBe(false);
  });
  test('as data has all rows, with a result for each run', () => {
    expect(matrixData(['p'], CELLS)).toMatchObject({
      ...{ v: 1, program: ['p'] },
      cells: [{ end: { status: 0 } }, { skipped: 'Linux 6.1 has none' }, {}],
      rows: [
        { call: 'a', differs: true, results: ['ok', null] },
        { call: 'b', differs: false, results: ['ok', 'ok'] },
      ],
    });
  });
  test('is well when every program there is a machine for ended well, and there was one', () => {
    expect(allWell(CELLS)).toBe(false);
    expect(allWell(CELLS.slice(0, 2))).toBe(true);
    expect(allWell(CELLS.slice(1, 2))).toBe(false);
    expect(allWell([cell('type1', {})])).toBe(false);
  });
});
