/** Is it a plugin? What somebody's file exports, looked at before anything of it is used. */
import type { HardwareTypes } from '../machine/description/entries.ts';
import { FORMATS } from '../pt/all-formats.ts';
import type { Preset } from '../machine/description/presets.ts';
import type { Plugin } from './index.ts';

/** What there is to name in a machine. */
export interface KnownNames extends HardwareTypes {
  readonly presets: Readonly<Record<string, Preset>>;
}

/** Parts that a type must have, and of which kind. */
const DEVICE_PARTS = { type: 'string', summary: 'string', options: 'object' } as const;
const DEVICE_CALLS = ['identity', 'create'] as const;
const IOMMU_PARTS = { ...DEVICE_PARTS, prefix: 'string' } as const;
const FORMAT_PARTS = { name: 'string', kind: 'object', address: 'object' } as const;
const FORMAT_CALLS = ['table', 'attrs', 'leaf', 'leafSizes', 'protOf'] as const;
const IOMMU_CALLS = ['createDriver'] as const;

/** What is wrong with the default export of a plugin; undefined: nothing. */
export function shapeProblem(value: unknown): string | undefined {
  if (value === undefined) {
    return 'has no default export; it should have: export default definePlugin({ name, devices: [ … ] })';
  }
  if (!isObject(value)) return 'its default export is no plugin: it is no object';
  if (typeof value['then'] === 'function') {
    return 'its default export is a promise; export what it promises: export default await …';
  }
  if (typeof value['name'] !== 'string' || value['name'] === '') return 'name: must be a text';
  const extra = Object.keys(value).find((key) => !KEYS.includes(key));
  if (extra !== undefined) return `${extra}: unknown key; allowed: ${KEYS.join(', ')}`;
  return (
    listProblem('devices', value['devices'], (one) =>
      partProblem(one, DEVICE_PARTS, DEVICE_CALLS),
    ) ??
    listProblem('iommus', value['iommus'], (one) => partProblem(one, IOMMU_PARTS, IOMMU_CALLS)) ??
    listProblem('formats', value['formats'], (one) =>
      partProblem(one, FORMAT_PARTS, FORMAT_CALLS),
    ) ??
    presetProblem(value['presets'])
  );
}
const KEYS: readonly string[] = ['name', 'devices', 'iommus', 'formats', 'presets'];

/** A name of the plugin that something else has, or that it gives twice, in words; undefined: there is none. */
export function takenName(plugin: Plugin, known: KnownNames): string | undefined {
  const kinds = [
    ['device', (plugin.devices ?? []).map(({ type }) => type), known.devices],
    ['IOMMU', (plugin.iommus ?? []).map(({ type }) => type), known.iommus],
    [
      'format',
      (plugin.formats ?? []).map(({ name }) => name),
      new Map([...FORMATS, ...(known.formats ?? [])]),
    ],
    ['preset', Object.keys(plugin.presets ?? {}), new Map(Object.entries(known.presets))],
  ] as const;
  for (const [kind, names, taken] of kinds) {
    const one = names.find((name, n) => taken.has(name) || names.indexOf(name) < n);
    if (one !== undefined) return `there is a ${kind} '${one}' already`;
  }
  return undefined;
}

/** What is known, and what the plugin adds. */
export function withPlugin(known: KnownNames, plugin: Plugin): KnownNames {
  const named = <T extends { readonly type: string }>(types: readonly T[] = []) =>
    types.map((type) => [type.type, type] as const);
  return {
    devices: new Map([...known.devices, ...named(plugin.devices)]),
    iommus: new Map([...known.iommus, ...named(plugin.iommus)]),
    formats: new Map([
      ...(known.formats ?? []),
      ...(plugin.formats ?? []).map((one) => [one.name, one] as const),
    ]),
    presets: { ...known.presets, ...plugin.presets },
  };
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null;
}
function listProblem(
  key: string,
  list: unknown,
  problem: (one: unknown) => string | undefined,
): string | undefined {
  if (list === undefined) return undefined;
  if (!Array.isArray(list)) return `${key}: must be a list`;
  for (const [n, one] of list.entries()) {
    const found = problem(one);
    if (found !== undefined) return `${key}[${n}]${found}`;
  }
  return undefined;
}
function partProblem(
  value: unknown,
  parts: Readonly<Record<string, 'string' | 'object'>>,
  calls: readonly string[],
): string | undefined {
  if (!isObject(value)) return ': must be an object';
  for (const [part, kind] of Object.entries(parts)) {
    if (typeof value[part] !== kind || value[part] === null) {
      return `.${part}: must be ${kind === 'string' ? 'a text' : 'a table'}`;
    }
  }
  const missing = calls.find((call) => typeof value[call] !== 'function');
  return missing && `.${missing}: must be a function`;
}
function presetProblem(presets: unknown): string | undefined {
  if (presets === undefined) return undefined;
  if (!isObject(presets)) return 'presets: must be a table of presets by name';
  for (const [name, preset] of Object.entries(presets)) {
    const isOne = isObject(preset) && typeof preset['summary'] === 'string';
    if (!isOne || !isObject(preset['machine'])) return `presets.${name}: needs summary and machine`;
  }
  return undefined;
}
