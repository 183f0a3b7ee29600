/**
 * docs/devices/: a page for every device type, from what it declares: identity, options, registers, and what its head
 * comment says is not implemented. `--check` fails when a page is stale or left over.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { format } from 'prettier';
import { rangeText, valueText, withDefaults } from '../src/base/options.ts';
import { DEVICE_TYPES } from '../src/devices/index.ts';
import type { DeviceType, PciIdentity, RegisterSpace } from '../src/devices/port.ts';
import type { RegisterSpec } from '../src/devices/unit/registers.ts';

const OUT = 'docs/devices';

const hex = (value: number | bigint, digits = 1): string =>
  `0x${value.toString(16).padStart(digits, '0')}`;
const table = (head: readonly string[], rows: readonly (readonly string[])[]): string =>
  [head, head.map(() => '---'), ...rows]
    .map((row) => `| ${row.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`)
    .join('\n');

function identityRows(identity: PciIdentity): string[][] {
  const { vendor, device, classCode, revision, bars, msix, msiVectors, pcie, rom } = identity;
  return [
    ['vendor, device', `${hex(vendor, 4)}, ${hex(device, 4)}`],
    ['class, revision', `${hex(classCode, 6)}, ${hex(revision)}`],
    ...bars.map(({ index, size, kind, prefetchable }) => [
      `BAR ${index}`,
      `${kind}, ${hex(size)} bytes${prefetchable ? ', prefetchable' : ''}`,
    ]),
    ...(rom ? [['ROM', `${hex(rom.length)} bytes`]] : []),
    ...(msix ? [['MSI-X', `${msix.vectors} vectors, table in BAR ${msix.bar}`]] : []),
    ...(msiVectors ? [['MSI', `${msiVectors} vectors`]] : []),
    ['pin', identity.interruptPin ? `INT${'ABCD'[identity.interruptPin - 1]}` : 'none'],
    ['kind', pcie ? `PCIe ${pcie.type}${pcie.flr ? ', FLR' : ''}` : 'conventional PCI'],
    ...(identity.ats ? [['ATS', identity.pri ? 'with page requests' : 'yes']] : []),
    ...(identity.pasidBits ? [['PASID', `${identity.pasidBits} bits`]] : []),
  ];
}

function placesOf({ offset, count, stride, width, also = [] }: RegisterSpec): string {
  return [{ offset, count, stride }, ...also]
    .map((place) => {
      const many = place.count ?? count;
      return many === undefined
        ? hex(place.offset, 3)
        : `${hex(place.offset, 3)} + ${hex(place.stride ?? width)} n, n < ${many}`;
    })
    .join('; ');
}
function resetOf({ reset = 0 }: RegisterSpec): string {
  return [reset]
    .flat()
    .map((value) => (value ? hex(BigInt(value)) : '0'))
    .join(', then ');
}
function registerRows({ table: registers }: RegisterSpace): string[][] {
  return Object.entries(registers)
    .sort(([, a], [, b]) => a.offset - b.offset)
    .map(([name, spec]) => [
      placesOf(spec),
      `\`${name}\``,
      String(8 * spec.width),
      spec.access,
      resetOf(spec),
      spec.help,
    ]);
}

/** A device has a folder of its own, or is in that of its family: virtio-blk in virtio. */
function sourceOf(name: string): string {
  const family = name.replace(/-.*/, '');
  const places = [name, family].map((folder) => join('src/devices', folder, `${name}.ts`));
  const file = places.find((place) => existsSync(place));
  if (file === undefined) throw new Error(`${name}: none of ${places.join(', ')}`);
  return file;
}

/** The last paragraph of the head comment. */
function notImplemented(name: string): string {
  const file = sourceOf(name);
  const head = /^\/\*\*[\s\S]*?\*\//.exec(readFileSync(file, 'utf8'))?.[0] ?? '';
  const text = /NOT IMPLEMENTED: ([\s\S]*?)\*\//.exec(head)?.[1];
  if (text === undefined) throw new Error(`${file}: its head comment has no NOT IMPLEMENTED`);
  return text.replace(/\n \* ?/g, ' ').trim();
}

function pageOf(type: DeviceType): string {
  const options = Object.entries(type.options).map(([name, option]) => [
    `\`${name}\``,
    rangeText(option),
    valueText(option, option.default),
    option.help,
  ]);
  const parts = [
    '<!-- Written by scripts/list-devices.ts. -->',
    `# ${type.type}`,
    type.summary,
    '## Identity',
    'With the options at their defaults.',
    table(['', ''], identityRows(type.identity(withDefaults(type.options, {})))),
    '## Options',
    options.length > 0 ? table(['option', 'range', 'default', ''], options) : 'None.',
    ...(type.registers ?? []).flatMap((space) => [
      `## Registers of BAR ${space.bar}`,
      table(['offset', 'name', 'bits', 'access', 'at power-on', ''], registerRows(space)),
    ]),
    '## Not implemented',
    notImplemented(type.type),
  ];
  return `${parts.join('\n\n')}\n`;
}

const pages = new Map<string, string>();
for (const type of DEVICE_TYPES.values()) {
  pages.set(`${type.type}.md`, await format(pageOf(type), { parser: 'markdown' }));
}
const there = existsSync(OUT) ? readdirSync(OUT) : [];
const stale = [...pages].filter(
  ([name, text]) => !there.includes(name) || readFileSync(join(OUT, name), 'utf8') !== text,
);
const leftOver = there.filter((name) => !pages.has(name));
if (process.argv.includes('--check')) {
  for (const name of [...stale.map(([page]) => page), ...leftOver]) {
    console.error(`${OUT}/${name} is stale: npx tsx scripts/list-devices.ts`);
    process.exitCode = 1;
  }
} else {
  mkdirSync(OUT, { recursive: true });
  for (const [name, text] of stale) writeFileSync(join(OUT, name), text);
  for (const name of leftOver) rmSync(join(OUT, name));
}
