/** How a program is run: what `run` has besides its machine and its trace. */
import { exitcodeOf } from './sanitize-flags.ts';
import { InvalidArgumentError, Option } from '@commander-js/extra-typings';
import { U64_MAX } from '../base/u64.ts';
import { SIZE_UNITS } from '../machine/description/block-sizes.ts';

/** When `--explain` says something. */
export const EXPLAIN_WORDS = ['failed', 'always', 'never', 'off'] as const;
/** `--explain`: a report at the end of what did not work. */
export const explainOption = () =>
  new Option(
    '--explain [when]',
    'say at the end what did not work, and why: when the program has failed, always (also --explain alone, which keeps where mappings come from), or never (off)',
  )
    .choices(EXPLAIN_WORDS)
    .default('failed' as const);
/** `--error-exitcode`: of a run in which something of `--fail-on` has happened. */
export const errorExitcodeOption = () =>
  new Option(
    '--error-exitcode <status>',
    "the status of a run with findings, 1 to 124; without it the status is the program's",
  ).argParser(exitcode);
/** `--fail-on` */
export const failOnOption = () =>
  new Option(
    '--fail-on <what>',
    'what --error-exitcode is for, with commas: finding, leak, fault, warn (default: finding,leak)',
  );
/** `--suppressions` */
export const suppressionsOption = () =>
  new Option(
    '--suppressions <file>',
    'findings that are known: lines KIND:GLOB, of functions, files or modules',
  );
/** `--findings` */
export const findingsOption = () =>
  new Option(
    '--findings <file>',
    'findings go to FILE.PID, with the number of the process of softiommu, and not to standard error',
  );
/** `--mode`; without it what the host permits. */
export const modeOption = () =>
  new Option('--mode <mode>', 'how /dev and /sys reach the program').choices([
    'namespace',
    'traps',
  ] as const);
/** `--pin` */
export const pinOption = () =>
  new Option(
    '--pin <how>',
    "pinned private pages: copied when their mapping goes, or held by the host's io_uring",
  )
    .choices(['copy', 'exact'] as const)
    .default('copy' as const);
/** `--wait` */
export const waitOption = () =>
  new Option(
    '--wait <for>',
    'when the run is over: when all its processes have ended, or with the program, which ends the others',
  )
    .choices(['all', 'program'] as const)
    .default('all' as const);
/** `--io-uring` */
export const ioUringOption = () =>
  new Option(
    '--io-uring <how>',
    "a program's io_uring: refused with EPERM, or allowed, and then its requests see the host's files",
  )
    .choices(['refuse', 'allow'] as const)
    .default('refuse' as const);
/** `--bar-buffers` */
export const barBuffersOption = () =>
  new Option(
    '--bar-buffers <which>',
    'registers as the buffer of a system call: where softiommu has mapped them, or all, also in vectors and where a program has put them itself, which makes every read, write and message slower',
  )
    .choices(['mapped', 'all'] as const)
    .default('mapped' as const);
/** `--memlock`, in bytes. */
export const memlockOption = () =>
  new Option(
    '--memlock <size>',
    "what a program may pin for devices (RLIMIT_MEMLOCK): bytes, with K, M or G, or unlimited; default: the host's limit",
  ).argParser(memorySize);

function exitcode(text: string): number {
  const status = exitcodeOf(text);
  if (status === undefined) throw new InvalidArgumentError('a status is 1 to 124.');
  return status;
}
/** '64M', '67108864' or 'unlimited', in bytes. */
function memorySize(text: string): bigint {
  if (text === 'unlimited') return U64_MAX;
  const [, digits, unit] = /^(\d{1,15})([KMG]?)$/.exec(text) ?? [];
  if (digits === undefined) {
    throw new InvalidArgumentError('a size is a number with K, M, G or nothing, or unlimited.');
  }
  return BigInt(digits) * BigInt(SIZE_UNITS[unit ?? '']!);
}

/** `--inject-token` */
export const injectTokenOption = () =>
  new Option(
    '--inject-token <token>',
    'make go wrong what went wrong in the run that said this token',
  );
