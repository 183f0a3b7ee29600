/** `--device help`, `--device TYPE,help` and the same of `--iommu`: what there is, from what the types themselves declare. */
import { rangeText, valueText, type OptionTable } from '../base/options.ts';
import { columns } from '../insight/views/columns.ts';
import { given, printable } from '../machine/description/wording.ts';
import type { KnownNames } from '../plugin/shape.ts';
import type { MachineChoice } from './machine-file.ts';
import { UserMistake } from './user-mistake.ts';

/** What help tells of a type. */
interface Described {
  readonly summary: string;
  readonly options: OptionTable;
}

/** Keys that every device takes. */
const DEVICE_KEYS: readonly (readonly [string, string, string, string])[] = [
  ['bdf', 'DDDD:BB:DD.F', 'the first free', 'where it stands'],
  ['driver', 'text', 'vfio-pci', 'what is bound to it at boot; none: nothing'],
  ['iommu', 'text', '', 'name of the IOMMU that translates for it'],
  ['bar', 'trap or none', 'trap', 'none: its memory BARs cannot be mapped'],
  ['migration', 'none, stop-copy, p2p or pre-copy', 'none', 'what its users may do of a migration'],
];
const IOMMU_KEYS: readonly (readonly [string, string, string, string])[] = [
  ['name', 'text', 'made of the type and a number', 'what devices call it by'],
];

/** The help that one of the flags asks for; undefined: none does. Throws UserMistake for a type that is not there. */
export function typeHelp(choice: MachineChoice, known: KnownNames): string | undefined {
  return (
    helpOf('--device', choice.device, known.devices, DEVICE_KEYS) ??
    helpOf('--iommu', choice.iommu, known.iommus, IOMMU_KEYS)
  );
}

function helpOf(
  flag: string,
  texts: readonly string[] = [],
  types: ReadonlyMap<string, Described>,
  keys: typeof DEVICE_KEYS,
): string | undefined {
  const asks = texts.find((text) => /(^|,)help$/.test(text));
  if (asks === undefined) return undefined;
  if (asks === 'help') {
    const rows = [...types].map(([type, { summary }]) => [type, summary]);
    return `${columns(rows.sort(byName))}\n`;
  }
  const [name = ''] = asks.split(',');
  const type = types.get(name);
  if (!type) {
    const allowed = [...types.keys()].join(', ');
    throw new UserMistake(
      `${flag} ${printable(asks)}: unknown type ${given(name)}; allowed: ${allowed}`,
    );
  }
  const options = Object.entries(type.options).map(([key, option]) => [
    `${key}=`,
    rangeText(option),
    valueText(option, option.default),
    option.help,
  ]);
  const common = keys.map(([key, ...rest]) => [`${key}=`, ...rest]);
  const head = ['key', 'value', 'default', ''];
  return `${name}: ${type.summary}\n\n${columns([head, ...common, ...options])}\n`;
}

function byName([a = '']: readonly string[], [b = '']: readonly string[]): number {
  return a < b ? -1 : 1;
}
