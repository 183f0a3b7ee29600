/**
 * Which calls are meant, in strace's way: names with commas between, `!` before them all, `/REGEX`, `%class`, `?name`; names
 * are those of system calls and of ioctl commands.
 */
import { COMMAND_NAMES } from '../../uapi/decode.ts';
import { ALIASES } from '../call-names.ts';
import { choice } from './clauses.ts';
import { Mistake } from '../mistake.ts';

/** Calls that can be told apart from an ioctl by their own name, as the event stream has it. */
const CALLS = ['openat', 'read', 'pread64', 'write', 'pwrite64', 'mmap'] as const;
/** An ioctl whose command no header names. */
const OTHER_IOCTL = 'ioctl';
const UNIVERSE: readonly string[] = [...CALLS, OTHER_IOCTL, ...COMMAND_NAMES];

const isCommand = (name: string): boolean => name === OTHER_IOCTL || /^[A-Z]/.test(name);
const CLASSES: Readonly<Record<string, (name: string) => boolean>> = {
  all: () => true,
  desc: (name) => name !== 'openat',
  file: (name) => name === 'openat',
  ioctl: isCommand,
  iommufd: (name) => name.startsWith('IOMMU_'),
  memory: (name) => name === 'mmap',
  rw: (name) => /^p?(read|write)/.test(name),
  vfio: (name) => name.startsWith('VFIO_'),
};
/** Why some calls cannot be disturbed. */
const OTHERS: Readonly<Record<string, string>> = {
  close: 'a close cannot fail: it is seen when it has happened',
  munmap: 'munmap is made by the host',
};

/** Names of calls and commands. */
export type CallSet = ReadonlySet<string>;

/** What a call is called in a set. */
export function nameInSets({ name, command }: { name: string; command?: string }): string {
  if (name !== OTHER_IOCTL) return name;
  return command !== undefined && COMMAND_NAMES.includes(command) ? command : OTHER_IOCTL;
}

/** Every call of these can be held back: it sleeps as other calls do. */
export function maySleep(name: string): boolean {
  return isCommand(name) || CLASSES['rw']!(name);
}

/** `column`: where the text begins. */
export function parseCallSet(text: string, column: number): CallSet | Mistake {
  const negated = text.startsWith('!');
  const set = new Set<string>();
  let at = negated ? 1 : 0;
  for (const word of text.slice(at).split(',')) {
    const meant = namesOf(word, column + at);
    if (meant instanceof Mistake) return meant;
    for (const name of meant) set.add(name);
    at += word.length + 1;
  }
  return negated ? new Set(UNIVERSE.filter((name) => !set.has(name))) : set;
}

function namesOf(word: string, column: number): readonly string[] | Mistake {
  if (word.startsWith('/')) return byRegex(word.slice(1), column);
  if (word === 'all') return UNIVERSE;
  if (word.startsWith('%')) return byClass(word.slice(1), column);
  const tolerant = word.startsWith('?');
  const name = tolerant ? word.slice(1) : word;
  const known = ALIASES[name] ?? name;
  if (known === OTHER_IOCTL) return UNIVERSE.filter(isCommand);
  if (UNIVERSE.includes(known)) return [known];
  return tolerant ? [] : unknown(name, column);
}
function byClass(name: string, column: number): readonly string[] | Mistake {
  const belongs = Object.hasOwn(CLASSES, name) ? CLASSES[name] : undefined;
  if (belongs) return UNIVERSE.filter(belongs);
  const classes = Object.keys(CLASSES).map((each) => `%${each}`);
  return new Mistake(column, `there is no class %${name}; there are ${choice(classes)}`);
}
function byRegex(source: string, column: number): readonly string[] | Mistake {
  const pattern = regexOf(source);
  if (!pattern) return new Mistake(column + 1, `'${source}' is no regular expression`);
  const found = UNIVERSE.filter((name) => pattern.test(name));
  return found.length > 0
    ? found
    : new Mistake(column + 1, `no call or command matches /${source}`);
}
function regexOf(source: string): RegExp | undefined {
  try {
    return new RegExp(source);
  } catch {
    return undefined;
  }
}

function unknown(name: string, column: number): Mistake {
  const why = Object.hasOwn(OTHERS, name) ? OTHERS[name] : undefined;
  if (why !== undefined) return new Mistake(column, why);
  const near = UNIVERSE.filter((each) => distance(each, name) <= 2 + (name.length >> 3));
  const hint =
    near.length > 0
      ? `did you mean ${choice(near.slice(0, 3))}?`
      : `a system call (${choice(CALLS)}), an ioctl command by its name in the header, /REGEX or %CLASS`;
  return new Mistake(column, `'${name}' is no call that can be disturbed: ${hint}`);
}
/** Letters to change, put in or take out to make one word of the other. */
function distance(a: string, b: string): number {
  let row = [...Array(b.length + 1).keys()];
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const same = a[i - 1] === b[j - 1] ? 0 : 1;
      next.push(Math.min(row[j]! + 1, next[j - 1]! + 1, row[j - 1]! + same));
    }
    row = next;
  }
  return row[b.length]!;
}
