/**
 * Machine files with something wrong in them: whatever it is, the file is a machine all the same, or everything that is
 * said of it is a line of ours with a place. MUTATIONS=26000 npx vitest run src/cli/mutated-files.test.ts tries more.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { parse, stringify } from 'yaml';
import { PRESETS } from '../machine/description/presets.ts';
import { printedMachine } from './topology-text.ts';
import { loadMachine } from './machine-file.ts';
import { UserMistake } from './user-mistake.ts';

const COUNT = Number(process.env['MUTATIONS'] ?? 300);
const SEED = 26_000;

const folder = mkdtempSync(join(tmpdir(), 'mutations-of-softiommu-'));
const file = join(folder, 'm.yaml');
afterAll(() => {
  rmSync(folder, { recursive: true });
});

/** Small, and the same numbers everywhere. */
function randomOf(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return Math.floor((((t ^ (t >>> 14)) >>> 0) / 2 ** 32) * below);
  };
}
type Random = ReturnType<typeof randomOf>;

function pick<T>(random: Random, from: readonly T[]): T {
  return from[random(from.length)]!;
}

// --- bytes ---

const FRAGMENTS = [
  ...['&a ', '*a', '*nobody', '!!binary ', '!own ', '---\n', '...\n', '%YAML 1.1\n', '<<: *a\n'],
  ...[
    '__proto__: { x: 1 }\n',
    'constructor: 1\n',
    '? [a]\n: 1\n',
    ': 1\n',
    '\t',
    '\0',
    '\u001b[2J',
  ],
  ...['\xff', '"', "'", '{', '}', '[', ']', ',', ':', '#', '|', '>', '@', '`', '\\', '- ', '  '],
  ...['{'.repeat(200), '['.repeat(70), '- '.repeat(70), '&a [*a]', 'x'.repeat(1100), '\r\n'],
  ...['.nan', '-1', '1e400', '0x', '0xffffffffffffffffff', '~', 'null', 'yes', '""', '2001-01-01'],
];

type ByteMutation = (text: Buffer, at: number, random: Random) => Buffer;

function splice(
  text: Buffer,
  at: number,
  remove: number,
  insert: Buffer = Buffer.alloc(0),
): Buffer {
  return Buffer.concat([text.subarray(0, at), insert, text.subarray(at + remove)]);
}
function lineOf(text: Buffer, at: number): { start: number; end: number } {
  const start = text.lastIndexOf(0x0a, at - 1) + 1;
  const end = text.indexOf(0x0a, at) + 1;
  return { start, end: end === 0 ? text.length : end };
}

const BYTES: readonly ByteMutation[] = [
  (text, at, random) => splice(text, at, 1, Buffer.of(random(256))),
  (text, at, random) => splice(text, at, 1 + random(8)),
  (text, at, random) => splice(text, at, 0, Buffer.from(pick(random, FRAGMENTS), 'latin1')),
  (text, at) => text.subarray(0, at),
  (text, at) => {
    const { start, end } = lineOf(text, at);
    return splice(text, start, end - start);
  },
  (text, at, random) => {
    const { start, end } = lineOf(text, at);
    return splice(text, random(text.length), 0, text.subarray(start, end));
  },
  (text, at, random) => {
    const { start } = lineOf(text, at);
    return splice(text, start, 0, Buffer.alloc(1 + random(4), ' '));
  },
];

// --- structure ---

const VALUES: readonly unknown[] = [
  ...[null, true, false, 0, -1, 1, 2, 7, 21, 64, 65, 1.5, 4096, 65536, 2 ** 31, 2 ** 53, 1e100],
  ...['', 'x', '-', '..', 'a/b', '0', '0x1000', '0xfffffffffffffffff', 'none', 'dmar0', 'intel'],
  ...['0000:00:04.0', '0000:00:1f.7', 'ffff:ff:1f.7', '0000:01:00.0', '1f.7', 'é\u202e', NaN],
  ...['edu', 'generic', 'root-port', 'pci-bridge', 'nvme', 'mock', 'toString', '__proto__'],
  [],
  {},
  [[]],
  [{}],
  ['test-dev'],
  { a: { b: {} } },
];
const KEYS = [
  ...['acs', 'aliases', 'at', 'ats', 'bar_size', 'class', 'device', 'devices', 'directRegions'],
  ...['dma_delay_us', 'dma_mask_bits', 'driver', 'iommu', 'iommus', 'kernel', 'last', 'messages'],
  ...['msix_vectors', 'name', 'options', 'pasidBits', 'pasid_bits', 'pcie', 'pri', 'ramMiB'],
  ...['start', 'type', 'vendor', 'version', 'vfOf', 'width', 'with', 'without', 'toString', '1'],
];

interface Slot {
  readonly holder: object;
  readonly key: PropertyKey;
}

function slotsOf(value: unknown): Slot[] {
  if (typeof value !== 'object' || value === null) return [];
  return Reflect.ownKeys(value)
    .filter((key) => key !== 'length')
    .flatMap((key) => [{ holder: value, key }, ...slotsOf(Reflect.get(value, key))]);
}

function isList(value: unknown): value is unknown[] {
  return Array.isArray(value);
}

function mutateStructure(text: string, random: Random): string {
  const first: unknown = parse(text);
  const top = { top: first };
  for (let times = 1 + random(3); times > 0; times--) {
    const slots = slotsOf(top);
    if (slots.length === 0) break;
    const { holder, key } = pick(random, slots);
    const other: unknown = Reflect.get(holder, key);
    const twin = pick(random, slots);
    const changes: readonly (() => unknown)[] = [
      () => Reflect.set(holder, key, structuredClone(pick(random, VALUES))),
      () => Reflect.set(holder, pick(random, KEYS), structuredClone(pick(random, VALUES))),
      () => Reflect.deleteProperty(holder, key),
      () => Reflect.set(twin.holder, twin.key, structuredClone(other)),
      () => (isList(other) ? other.push(structuredClone(other[0])) : 0),
    ];
    pick(random, changes)();
  }
  const out = 'top' in top ? top.top : null;
  return random(2) === 0 ? stringify(out) : JSON.stringify(out);
}

function mutated(text: string, random: Random): Buffer {
  if (random(2) === 0) return Buffer.from(mutateStructure(text, random));
  let bytes = Buffer.from(text);
  for (let times = 1 + random(3); times > 0; times--) {
    bytes = Buffer.from(pick(random, BYTES)(bytes, random(bytes.length + 1), random));
  }
  return bytes;
}

// --- what comes of it ---

/** Undefined: a machine. */
function outcome(bytes: Buffer): string | undefined {
  writeFileSync(file, bytes);
  try {
    loadMachine({ machine: file }).close();
    return undefined;
  } catch (error) {
    if (error instanceof UserMistake) return error.message;
    return error instanceof Error ? error.stack : String(error);
  }
}

const OURS = /^(m\.yaml:[1-9]\d*: [^\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]+|and \d+ more)$/u;
/** What the libraries below would say. */
const THEIRS =
  /Invalid|[Ee]xpected|received|Too (big|small)|Unrecognized|implicit|undefined|Error|YAML/;

test(`${COUNT} mutated machine files are machines, or end in clear lines`, () => {
  const random = randomOf(SEED);
  const originals = Object.keys(PRESETS).map((name) =>
    printedMachine({ machine: `preset:${name}` }),
  );
  const seen = { machine: 0, mistake: 0 };
  const wrong: string[] = [];
  let slowest = 0;
  for (let n = 0; n < COUNT && wrong.length < 5; n++) {
    const bytes = mutated(originals[n % originals.length]!, random);
    const begin = performance.now();
    const said = outcome(bytes);
    slowest = Math.max(slowest, performance.now() - begin);
    seen[said === undefined ? 'machine' : 'mistake']++;
    const lines = said?.replaceAll(`${folder}/`, '').split('\n') ?? [];
    const bad = lines.filter((line) => !OURS.test(line) || THEIRS.test(line));
    if (bad.length > 0) wrong.push(`${n}: ${bad.join('\n')}\n${bytes.toString()}`);
  }
  if (COUNT > 1000) {
    process.stdout.write(`${JSON.stringify(seen)}, slowest ${slowest.toFixed()} ms\n`);
  }
  expect(wrong).toEqual([]);
  expect(Math.min(seen.machine, seen.mistake)).toBeGreaterThan(COUNT / 20);
});
