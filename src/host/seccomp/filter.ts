/**
 * The seccomp filter of a run, made from the rows of trapped.ts: first the number of the call, then its steps.
 *
 * The rows come in parts, each with the steps of its own, so that every jump stays within the 255 instructions one can reach.
 * Calls of one part with the same steps share them.
 */
import {
  ARCH_X86_64,
  DATA,
  FilterAssembler,
  SECCOMP_RET_ALLOW,
  SECCOMP_RET_ERRNO,
  SECCOMP_RET_USER_NOTIF,
} from '../sys/bpf.ts';
import { ERRNO_NUMBERS } from '../../base/errno.ts';
import {
  FOREIGN_CALLS,
  TRAPPED_CALLS,
  type Condition,
  type Half,
  type RunTrait,
  type Step,
  type TrappedCall,
} from './trapped.ts';

/** What differs from run to run. */
export interface FilterOptions {
  /** Answer for the whole tree ourselves; otherwise a mount namespace shows most of it. */
  readonly pathTraps: boolean;
  /** Make the program's eventfds ourselves, where pidfd_getfd is forbidden. */
  readonly eventfds: boolean;
  /** The program has the capabilities of the simulated machine, not the host's (capabilities.ts). */
  readonly capabilities?: boolean;
  /** The program has the limit of locked memory of the simulated machine, not the host's (lock-limits.ts). */
  readonly memlock?: boolean;
  /** Event queues can have events: any read or write may be of one, whatever number its descriptor was given. */
  readonly events?: boolean;
  /** Registers may be the buffer of a call wherever they are mapped, also in vectors: every read, write and message is looked at. */
  readonly barBuffers?: boolean;
  /** A program may have an io_uring: what it asks of one is the host's to answer, and not seen. */
  readonly ioUring?: boolean;
}

/** struct sock_filter[] for one run. */
export function filterProgram(
  options: FilterOptions,
  rows: readonly TrappedCall[] = TRAPPED_CALLS,
): Buffer {
  const traits = traitsOf(options);
  const program = new FilterAssembler();
  program.load(DATA.arch).ifEqual(ARCH_X86_64, 'ours');
  addForeign(program, traits);
  program.label('ours').load(DATA.nr);
  // Other calls by the same numbers: x32. A number that a tracer has taken away is -1.
  program.ifAtLeast(X32, undefined, 'native').ifAbove(LAST_X32, 'native');
  program.return(SECCOMP_RET_ERRNO | ERRNO_NUMBERS.ENOSYS);
  program.label('native');
  for (let first = 0; first < rows.length; first += PART) {
    addRows(program, rows.slice(first, first + PART), traits, `/${first}`);
  }
  return program.return(SECCOMP_RET_ALLOW).assemble();
}

/** So many rows follow each other before what is done about them: a jump reaches no further. */
const PART = 40;
/** __X32_SYSCALL_BIT, and the last number with it that is not negative. */
const X32 = 0x4000_0000;
const LAST_X32 = 0x7fff_ffff;

/** Calls of 32-bit programs: their numbers are others, but for those that are new. */
function addForeign(program: FilterAssembler, traits: ReadonlySet<RunTrait>): void {
  program.load(DATA.nr);
  for (const { nr, in: trait } of FOREIGN_CALLS) {
    if (trait === undefined || traits.has(trait)) program.ifEqual(nr, 'notify');
  }
  addEnds(program, '');
}
/** Some rows, and then their steps; past them for every other number. `part` tells its labels from those of others. */
function addRows(
  program: FilterAssembler,
  rows: readonly TrappedCall[],
  traits: ReadonlySet<RunTrait>,
  part: string,
): void {
  const bodies = new Map<string, readonly Step[]>();
  for (const { nr, when } of rows) {
    const steps = when.filter((step) => step.in === undefined || traits.has(step.in));
    if (steps.length === 0) continue;
    const label = steps[0]!.if ? JSON.stringify(steps) + part : LABELS[steps[0]!.then] + part;
    program.ifEqual(nr, label);
    if (steps[0]!.if) bodies.set(label, steps);
  }
  program.always(`next${part}`);
  for (const [label, steps] of bodies) addSteps(program, { label, part }, steps);
  addEnds(program, part);
  program.label(`next${part}`);
}
function addEnds(program: FilterAssembler, part: string): void {
  program.label(LABELS.pass + part).return(SECCOMP_RET_ALLOW);
  program.label(LABELS.trap + part).return(SECCOMP_RET_USER_NOTIF);
}

const LABELS = { trap: 'notify', pass: 'allow' } as const;

function traitsOf(options: FilterOptions): ReadonlySet<RunTrait> {
  const traits = new Set<RunTrait>([options.pathTraps ? 'path-traps' : 'mount']);
  if (options.eventfds) traits.add('own-eventfds');
  if (options.capabilities) traits.add('own-capabilities');
  if (options.memlock) traits.add('own-memlock');
  if (options.events) traits.add('events');
  if (options.barBuffers) traits.add('bar-buffers');
  if (!options.ioUring) traits.add('no-io-uring');
  return traits;
}

/** Where a comparison goes. */
interface Targets {
  readonly yes: string;
  readonly no: string;
}

function addSteps(
  program: FilterAssembler,
  { label, part }: { readonly label: string; readonly part: string },
  steps: readonly Step[],
): void {
  program.label(label);
  for (const [n, step] of steps.entries()) {
    const yes = LABELS[step.then] + part;
    if (!step.if) {
      program.always(yes);
      return;
    }
    const no = n === steps.length - 1 ? LABELS.pass + part : `${label}/${n}`;
    compile(program, step.if, { yes, no });
    program.label(`${label}/${n}`);
  }
}

function compile(program: FilterAssembler, condition: Condition, { yes, no }: Targets): void {
  switch (condition.kind) {
    case 'is': {
      program.load(offsetOf(condition.of));
      for (const value of condition.values.slice(0, -1)) program.ifEqual(value, yes);
      program.ifEqual(condition.values.at(-1)!, yes, no);
      break;
    }
    case 'masked':
      program.load(offsetOf(condition.of)).and(condition.mask).ifEqual(condition.value, yes, no);
      break;
    case 'any-bit':
      program.load(offsetOf(condition.of)).ifAnyBit(condition.mask, yes, no);
      break;
    case 'range':
      program.load(offsetOf(condition.of)).ifAtLeast(condition.first, undefined, no);
      program.ifAbove(condition.last, no, yes);
      break;
    case 'at-most':
      program.load(DATA.argHigh(condition.argument)).ifEqual(0, undefined, no);
      program.load(DATA.argLow(condition.argument)).ifAbove(condition.most, no, yes);
      break;
    case 'multiple':
      program.load(offsetOf(condition.of)).ifEqual(0, no);
      if (condition.most !== undefined) program.ifAbove(condition.most, no);
      program.remainder(offsetOf(condition.of), condition.unit).ifEqual(0, yes, no);
  }
}

function offsetOf({ argument, half }: Half): number {
  return half === 'low' ? DATA.argLow(argument) : DATA.argHigh(argument);
}
