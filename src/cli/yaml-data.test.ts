import { describe, expect, test } from 'vitest';
import { yamlData } from './yaml-data.ts';

function mistakes(text: string): string[] {
  const data = yamlData(text);
  if (!('mistakes' in data)) throw new Error('accepted');
  return data.mistakes.map(({ line, message }) => `${line}: ${message}`);
}
function read(text: string): unknown {
  const data = yamlData(text);
  if ('mistakes' in data) throw new Error(JSON.stringify(data.mistakes));
  return data.value;
}

describe('text as data', () => {
  test.for([
    ['', undefined],
    ['# nothing\n', undefined],
    ['---\n', undefined],
    ['~', undefined],
    ['7', 7],
    ['[a, 0x10, "x"]', ['a', 16, 'x']],
    ['a: &x { b: 1 }\nc: *x\n', { a: { b: 1 }, c: { b: 1 } }],
    ['1: a\n0x2: b\ntrue: c\n', { '1': 'a', '0x2': 'b', true: 'c' }],
    ['constructor: 1\n', { constructor: 1 }],
    ['{"a": [null, .inf]}', { a: [null, Infinity] }],
    ['<<: { a: 1 }\n', { '<<': { a: 1 } }],
    ['\ufeffa: 1', { a: 1 }],
  ] as const)('%j is read', ([text, value]) => {
    expect(read(text)).toEqual(value);
  });

  test('with the line of every key, of an element, and of what stands nearest to a missing one', () => {
    const data = yamlData('a:\n  - x\n  - b: 1\n    c: &n\n      d: 2\ne: *n\n');
    if ('mistakes' in data) throw new Error('refused');
    const lines = [['a'], ['a', 0], ['a', 1, 'c'], ['a', 1, 'c', 'd'], ['a', 1, 'f'], ['e', 'd']];
    expect(lines.map((path) => data.lineOf(path))).toEqual([1, 2, 4, 5, 3, 6]);
    expect(data.lineOf([])).toBe(1);
  });
});

test.for([
  ['a key twice', 'a: 1\nb: 2\na: 3\n', "3: the key 'a' is there already, in line 1"],
  ['a key twice in braces', '{ a: 1, a: 1 }', "1: the key 'a' is there already, in line 1"],
  ['__proto__', 'a: 1\n__proto__: { b: 1 }\n', '2: no key is called __proto__'],
  ['a list as a key', '? [a]\n: 1\n', '1: a key must be text'],
  ['no key', ': 1\n', '1: a key must be text'],
  ['an alias as a key', 'a: &x b\n*x : 1\n', '2: a key must be text'],
  ['an alias of nothing', 'a: *x\n', '1: the alias *x names nothing: there is no &x above'],
  [
    'an alias before its anchor',
    'a: *x\nb: &x 1\n',
    '1: the alias *x names nothing: there is no &x',
  ],
  ['an alias in itself', 'a: &x\n  - *x\n', '2: the alias *x stands inside what it names'],
  ['a tag of YAML', 'a: !!binary aGk=\n', '1: tags (!name) have no meaning here'],
  ['a tag of a key', '!!str a: 1\n', '1: a key must be text'],
  ['a tag of its own', 'a: !machine { b: 1 }\n', '1: tags (!name) have no meaning here'],
  ['a directive', '%YAML 1.1\n---\na: yes\n', '1: lines that begin with % have no meaning here'],
  ['a second document', 'a: 1\n---\nb: 1\n', '2: a second document begins: a file has one'],
  [
    'a missing bracket',
    'a: [1, 2\n',
    '2: the indentation does not fit the lines above, or a bracket',
  ],
  ['a missing quote', 'a: "x\n', '2: something is missing: a closing quote or bracket'],
  ['two keys on a line', 'a: b: 1\n', '1: a second key on one line'],
  ['a tab', 'a:\n\tb: 1\n', '2: a tab indents this line: only spaces may'],
  ['an escape that is none', 'a: "\\q"\n', '1: there is no such escape'],
  ['a reserved character', 'a: @b\n', '1: a text that begins with this character needs quotes'],
  ['a line that fits nowhere', 'a:\n    b: 1\n  c: 1\n', '3: '],
] as const)('%s is a mistake', ([, text, message]) => {
  expect(mistakes(text)[0]).toContain(message);
});

describe('a text made to break the reader', () => {
  test('is refused where it goes too deep', () => {
    expect(mistakes('['.repeat(100_000))).toEqual(['1: more than 64 lists and keys in each other']);
    expect(mistakes('- '.repeat(100_000))).toEqual([
      '1: more than 64 lists and keys in each other',
    ]);
    const braces = '{ a: '.repeat(65) + '1' + ' }'.repeat(65);
    expect(mistakes(braces)).toEqual(['1: more than 64 lists and keys in each other']);
    const stairs = Array.from({ length: 70 }, (_, n) => `${' '.repeat(n)}k:\n`).join('');
    expect(mistakes(stairs)).toEqual(['66: more than 64 lists and keys in each other']);
    expect(read('a: "[[[["\nb: |\n  [\n')).toEqual({ a: '[[[[', b: '[\n' });
  });
  test('is refused when its aliases multiply', () => {
    const level = (n: number): string => `- &l${n} [${`*l${n - 1}, `.repeat(9)}]\n`;
    const text = '- &l0 x\n' + Array.from({ length: 9 }, (_, n) => level(n + 1)).join('');
    expect(mistakes(text)[0]).toMatch(/: with its aliases the file has more than 100000 values$/);
  });
  test('does not reach the prototype of an object', () => {
    expect(() => read('{ a: { __proto__: { polluted: 1 } } }')).toThrow('__proto__');
    expect('polluted' in {}).toBe(false);
  });
  test('cannot write to the terminal', () => {
    expect(mistakes('"\\e[2Ja": 1\n"\\e[2Ja": 1\n')).toEqual([
      "2: the key '\\x1b[2Ja' is there already, in line 1",
    ]);
  });
});
