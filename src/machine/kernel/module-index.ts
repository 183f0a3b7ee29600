/**
 * The files that depmod(8) makes for modprobe(8) and lspci(8): which file a module is in, which names it has and what is
 * built in, as text and as the index that libkmod searches, a tree of the letters of names (vfio.md 4.1).
 */
import { BUILT_IN_PATHS, type KernelModule } from './modules.ts';

/** Below the directory of modules. */
export function filePathOf({ path }: KernelModule): string {
  return `kernel/${path}`;
}

/** modules.dep: a line for each module. None names what must be loaded before it, for all of them are. */
export function dependencyText(modules: readonly KernelModule[]): string {
  return modules.map((module) => `${dependencyLine(module)}\n`).join('');
}
function dependencyLine(module: KernelModule): string {
  return `${filePathOf(module)}:`;
}

/** modules.dep.bin: the same, found by name. */
export function dependencyIndex(modules: readonly KernelModule[]): Uint8Array {
  return indexOf(modules.map((module, order) => [module.name, dependencyLine(module), order]));
}

/** modules.alias: other names of modules, which may be patterns. */
export function aliasText(modules: readonly KernelModule[]): string {
  return aliasesOf(modules)
    .map(([alias, name]) => `alias ${alias} ${name}\n`)
    .join('');
}
/** modules.alias.bin: the same, found by name. */
export function aliasIndex(modules: readonly KernelModule[]): Uint8Array {
  return indexOf(
    aliasesOf(modules).map(([alias, ...rest]) => [alias.replaceAll('-', '_'), ...rest]),
  );
}
function aliasesOf(modules: readonly KernelModule[]): Entry[] {
  return modules.flatMap(({ name, aliases = [] }, order) =>
    aliases.map((alias): Entry => [alias, name, order]),
  );
}

/** modules.symbols.bin: which module has a symbol. None has, for none has code. */
export function symbolIndex(): Uint8Array {
  return indexOf([]);
}

/** modules.builtin: what is loaded without a file. */
export function builtInText(): string {
  return BUILT_IN_PATHS.map((path) => `kernel/${path}\n`).join('');
}
/** modules.builtin.bin: the names of these. */
export function builtInIndex(): Uint8Array {
  return indexOf(BUILT_IN_PATHS.map((path) => [builtInName(path), '', 0]));
}
function builtInName(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1, -'.ko'.length).replaceAll('-', '_');
}

const MAGIC = 0xb007f457;
/** 2.1 */
const VERSION = 0x0002_0001;
const HAS_PREFIX = 0x8000_0000;
const HAS_VALUES = 0x4000_0000;
const HAS_CHILDREN = 0x2000_0000;
const HEADER_SIZE = 12;

/** `order`: which of several values of one key is meant. */
type Entry = readonly [key: string, value: string, order: number];

/** One index of keys of ASCII letters. Nodes come after their children: a node names where those are. */
function indexOf(entries: readonly Entry[]): Uint8Array {
  const bytes: number[] = [...u32(MAGIC), ...u32(VERSION), ...u32(0)];
  const root = writeNode(bytes, entries, '');
  bytes.splice(HEADER_SIZE - 4, 4, ...u32(root));
  return Uint8Array.from(bytes);
}
/** Where it is, and what it has. The root has no prefix, whatever its keys begin with. */
function writeNode(
  bytes: number[],
  entries: readonly Entry[],
  prefix = commonPrefix(entries.map(([key]) => key)),
): number {
  const rests = entries.map(([key, ...rest]): Entry => [key.slice(prefix.length), ...rest]);
  const children = writeChildren(
    bytes,
    rests.filter(([key]) => key !== ''),
  );
  const values = rests.filter(([key]) => key === '');
  const at = bytes.length;
  if (prefix !== '') bytes.push(...text(prefix));
  bytes.push(...children);
  if (values.length > 0) bytes.push(...u32(values.length));
  for (const [, value, order] of values) bytes.push(...u32(order), ...text(value));
  const has = (what: boolean, flag: number): number => (what ? flag : 0);
  return (
    at +
    has(prefix !== '', HAS_PREFIX) +
    has(values.length > 0, HAS_VALUES) +
    has(children.length > 0, HAS_CHILDREN)
  );
}
/** First letter and last, and a place for each letter between. */
function writeChildren(bytes: number[], entries: readonly Entry[]): number[] {
  if (entries.length === 0) return [];
  const letters = entries.map(([key]) => key.charCodeAt(0));
  const [first, last] = [Math.min(...letters), Math.max(...letters)];
  const places: number[] = [];
  for (let letter = first; letter <= last; letter++) {
    const below = entries.filter(([key]) => key.charCodeAt(0) === letter);
    const rests = below.map(([key, ...rest]): Entry => [key.slice(1), ...rest]);
    places.push(...u32(below.length === 0 ? 0 : writeNode(bytes, rests)));
  }
  return [first, last, ...places];
}
function commonPrefix(keys: readonly string[]): string {
  const [first = ''] = keys;
  let length = 0;
  while (length < first.length && keys.every((key) => key[length] === first[length])) length++;
  return first.slice(0, length);
}

/** Big-endian. */
function u32(value: number): number[] {
  return [24, 16, 8, 0].map((shift) => (value >>> shift) & 0xff);
}
function text(value: string): number[] {
  return [...new TextEncoder().encode(value), 0];
}
