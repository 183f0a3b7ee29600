/**
 * schema/machine.schema.json, the JSON Schema of machine files, the tables of docs/machine-file.md, made from it, and the
 * default machine, checked here so that a run without a machine file loads no checker.
 * `--check` fails when one of them is stale.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { format } from 'prettier';
import { KERNEL_TRAITS } from '../src/base/kernel-traits.ts';
import { RELEASES } from '../src/base/kernel-release.ts';
import { KNOWN_TYPES } from '../src/machine/machine.ts';
import { parseDescription } from '../src/machine/description/description-check.ts';
import { BRIDGE_TYPES } from '../src/machine/description/names.ts';
import { PRESETS } from '../src/machine/description/presets.ts';
import { allowedValues, defaultText } from '../src/machine/description/options.ts';
import { machineJsonSchema, type JsonSchema } from '../src/machine/description/json-schema.ts';
import {
  DEFAULT_KERNEL,
  TRAIT_SPANS,
  type ReleaseSpan,
} from '../src/machine/description/releases.ts';

const SCHEMA = 'schema/machine.schema.json';
const PAGE = 'docs/machine-file.md';
const DEFAULT = 'src/machine/description/default-machine.ts';
const schema = machineJsonSchema(KNOWN_TYPES);

// --- tables ---

type Properties = Readonly<Record<string, JsonSchema>>;

function propertiesOf(of: JsonSchema): Properties {
  const known = Object.entries(of.properties ?? {});
  return Object.fromEntries(known.map(([key, value]) => [key, value as JsonSchema]));
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string =>
    `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`;
  return [line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n');
}

function keyTable(properties: Properties, required: readonly string[] = []): string {
  const rows = Object.entries(properties).map(([key, each]) => [
    `\`${key}\``,
    typeText(each),
    required.includes(key) ? 'must be given' : defaultText(each),
    each.description ?? '',
  ]);
  return table(['key', 'value', 'default', 'meaning'], rows);
}

/** More values than this are listed elsewhere on the page. */
const MANY = 8;

function typeText(of: JsonSchema): string {
  if (of.const !== undefined) return `\`${String(of.const)}\``;
  if (of.enum) {
    const values = of.enum.length > MANY ? [of.enum[0], '…', of.enum.at(-1)] : of.enum;
    return values.map((value) => (value === '…' ? value : `\`${String(value)}\``)).join(', ');
  }
  if (of.pattern === '^0x[0-9a-fA-F]{1,16}$') return "`'0x…'`";
  if (of.anyOf) return of.anyOf.map((each) => typeText(each as JsonSchema)).join(' or ');
  if (of.type === 'array') return 'list';
  if (of.type === 'object') return 'keys below';
  if (of.type === 'integer' || of.type === 'number') return rangeText(of);
  return of.type === 'boolean' ? '`true`, `false`' : 'text';
}

function rangeText({ type, minimum, maximum }: JsonSchema): string {
  if (minimum === undefined || maximum === undefined) return 'number';
  return maximum === Number.MAX_SAFE_INTEGER ? `${type}` : `${minimum} to ${maximum}`;
}

function defaultText(of: JsonSchema): string {
  if (of.default === undefined) return '';
  return `\`${JSON.stringify(of.default)}\``;
}

function iommuTables(): string {
  const items = propertiesOf(schema)['iommus']?.items as JsonSchema;
  const types = (items.oneOf ?? items.anyOf ?? []) as JsonSchema[];
  return types
    .map((each) => {
      const { type, ...rest } = propertiesOf(each);
      return `### \`type: ${String(type?.const)}\`\n\n${each.description ?? ''}\n\n${keyTable(rest)}`;
    })
    .join('\n\n');
}

function deviceTables(): string {
  return [...KNOWN_TYPES.devices.values()]
    .map(({ type, summary, options }) => {
      const rows = Object.entries(options).map(([key, option]) => [
        `\`${key}\``,
        allowedValues(option),
        `\`${defaultText(option) ?? ''}\``,
        option.help,
      ]);
      return `### \`type: ${type}\`\n\n${summary}\n\n${table(['option', 'value', 'default', 'meaning'], rows)}`;
    })
    .join('\n\n');
}

function spanText(span: ReleaseSpan | undefined): string {
  if (!span) return '';
  const { since = RELEASES[0], before } = span;
  const last = before && RELEASES[RELEASES.indexOf(before) - 1];
  if (since === last) return since;
  return last ? `${since} to ${last}` : `from ${since}`;
}

function traitTable(): string {
  const rows = Object.entries(KERNEL_TRAITS).map(([name, meaning]) => [
    `\`${name}\``,
    meaning,
    [
      spanText(TRAIT_SPANS[name as keyof typeof KERNEL_TRAITS]),
      DEFAULT_KERNEL.with.some((trait) => trait === name) && 'by default',
    ]
      .filter(Boolean)
      .join('; '),
  ]);
  return table(['trait', 'meaning', 'there'], rows);
}

const device = schema.$defs?.['device'] as JsonSchema;
const TABLES: Readonly<Record<string, () => string>> = {
  top: () => keyTable(propertiesOf(schema)),
  kernel: () => keyTable(propertiesOf(propertiesOf(schema)['kernel'] ?? {})),
  traits: traitTable,
  iommus: iommuTables,
  device: () => keyTable(propertiesOf(device), device.required),
  directRegions: () => {
    const region = propertiesOf(device)['directRegions']?.items as JsonSchema;
    return keyTable(propertiesOf(region), region.required);
  },
  blocks: () =>
    keyTable(propertiesOf(propertiesOf(schema)['blocks']?.additionalProperties as JsonSchema)),
  wires: () =>
    keyTable(propertiesOf(propertiesOf(schema)['wires']?.additionalProperties as JsonSchema)),
  bridges: () => BRIDGE_TYPES.map((type) => `\`${type}\``).join(', '),
  releases: () => RELEASES.map((release) => `\`'${release}'\``).join(', '),
  drivers: () =>
    (propertiesOf(device)['driver']?.enum ?? []).map((name) => `\`${String(name)}\``).join(', '),
  models: deviceTables,
};

/** `<!-- made: NAME -->` … `<!-- end -->` hold what TABLES makes. */
function filled(page: string): string {
  return page.replace(
    /(<!-- made: (\w+) -->\n)[\s\S]*?(<!-- end -->)/g,
    (_all, begin: string, name: string, end: string) => {
      const make = TABLES[name];
      if (!make) throw new Error(`${PAGE}: there is no table ${name}`);
      return `${begin}\n${make()}\n\n${end}`;
    },
  );
}

// --- the default machine ---

function defaultMachine(): string {
  const checked = parseDescription(PRESETS['default']!.machine, KNOWN_TYPES);
  if ('problems' in checked) throw new Error('the default preset is no machine');
  return `/** The preset 'default', checked. Written by scripts/gen-machine-file.ts. */
import type { MachineDescription } from './description.ts';

/** A machine without a description is this one. */
export const DEFAULT_MACHINE: MachineDescription = ${JSON.stringify(checked.description)};
`;
}

// --- files ---

const OPTIONS = { printWidth: 100, singleQuote: true } as const;
const files: Readonly<Record<string, string>> = {
  [SCHEMA]: await format(JSON.stringify(schema), { ...OPTIONS, parser: 'json' }),
  [DEFAULT]: await format(defaultMachine(), {
    ...OPTIONS,
    parser: 'typescript',
    trailingComma: 'all',
  }),
  [PAGE]: await format(filled(readFileSync(PAGE, 'utf8')), { ...OPTIONS, parser: 'markdown' }),
};

function fileText(name: string): string {
  try {
    return readFileSync(name, 'utf8');
  } catch {
    return '';
  }
}

if (process.argv.includes('--check')) {
  const stale = Object.keys(files).filter((name) => fileText(name) !== files[name]);
  for (const name of stale) {
    console.error(`${name} is stale: npx tsx scripts/gen-machine-file.ts`);
  }
  process.exitCode = stale.length > 0 ? 1 : 0;
} else {
  mkdirSync('schema', { recursive: true });
  for (const [name, text] of Object.entries(files)) writeFileSync(name, text);
}
