/** Options that say something by how often they are given: -t, -tt, -ttt. */
import type { CommandUnknownOpts, Option } from '@commander-js/extra-typings';
import { UserMistake } from './user-mistake.ts';

/** By the name of their attribute: their letter, and how often that may be. */
const COUNTED = {
  absoluteTimestamps: ['t', 3],
  outputSeparately: ['f', 2],
  quiet: ['q', 2],
  stringsInHex: ['x', 2],
} as const;
type Counted = keyof typeof COUNTED;
const counts = new WeakMap<CommandUnknownOpts, Map<string, number>>();
/** May it be given again? */
export function isCounted(option: Pick<Option, 'attributeName'>): boolean {
  return option.attributeName() in COUNTED;
}
/** To be called once for a command that has some of them. */
export function countRepeated(command: CommandUnknownOpts): void {
  const given = new Map<string, number>();
  counts.set(command, given);
  for (const option of command.options) {
    const name = option.attributeName();
    if (!(name in COUNTED)) continue;
    command.on(`option:${option.name()}`, () => given.set(name, (given.get(name) ?? 0) + 1));
  }
}
/** The options of a command with how often each of them was given. Throws UserMistake: too often. */
export function withCounts<F extends Partial<Record<Counted, true>>>(
  command: CommandUnknownOpts,
  flags: F,
): Omit<F, Counted> & Partial<Record<Counted, number>> {
  const given = [...(counts.get(command) ?? [])];
  for (const [name, times] of given) {
    const [letter, most] = COUNTED[name as Counted]; // cast: only these are counted
    if (times <= most) continue;
    throw new UserMistake(
      `-${letter} is given more than ${most === 3 ? 'three times' : 'twice'}; -${letter.repeat(most)} is the most`,
    );
  }
  const others = Object.entries(flags).filter(([name]) => !(name in COUNTED));
  // cast: the same without those that are counted, and these by their number
  return Object.fromEntries([...others, ...given]) as ReturnType<typeof withCounts<F>>;
}
