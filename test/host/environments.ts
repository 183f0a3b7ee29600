/** The places the tests of real programs run in, and the programs, compiled once. */
import { spawnSync, spawn } from 'node:child_process';
import type { ChildProcess, SpawnSyncReturns } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, readdirSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { MAIN, PROJECT } from './project.ts';

const PROGRAMS = join(PROJECT, '.cache/test-programs');
const isRoot = process.getuid?.() === 0;

export interface Environment {
  readonly name: string;
  /** `--mode` */
  readonly mode: 'traps' | 'namespace';
  /** Why it cannot be tried here. */
  readonly skip?: string;
  /** What comes before `node`. */
  readonly prefix: readonly string[];
}

/** Denies what a default container denies: mounts, namespaces, pidfd_getfd, kcmp, io_uring, userfaultfd. */
const CONTAINER = join(PROJECT, 'test/host/container.py');
const WITHOUT_CAPABILITIES = isRoot
  ? ['setpriv', '--bounding-set=-sys_admin,-sys_ptrace,-ipc_lock,-sys_resource,-sys_rawio']
  : [];
export const has = (program: string): boolean => spawnSync('which', [program]).status === 0;

const AS_NOBODY = ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups'];
/** A host whose users may open /dev/fuse, in a mount namespace of the test's own; then the arguments. */
const WITH_FUSE = [
  ...['unshare', '--mount', 'sh', '-c'],
  `mount -t tmpfs none /mnt && mknod -m 666 /mnt/fuse c 10 229 &&
   mount --bind /mnt/fuse /dev/fuse && exec "$@"`,
  'sh',
];

/** Why something cannot be tried here, found by trying. */
function failing(command: readonly string[], reason: string): string | undefined {
  const [program, ...args] = command;
  return spawnSync(program!, args, { stdio: 'ignore' }).status === 0 ? undefined : reason;
}

function environment(
  name: string,
  mode: Environment['mode'],
  prefix: readonly string[],
  skip: string | undefined,
): Environment {
  return { name: `${name}, --mode ${mode}`, mode, prefix, ...(skip !== undefined && { skip }) };
}

const noOtherUser = !isRoot
  ? 'the first environment is one already'
  : failing([...AS_NOBODY, 'true'], 'no setpriv');
const USER_MOUNTS = [
  ...['unshare', '--user', '--mount', '--map-current-user', '--keep-caps', '--'],
  ...['mount', '-t', 'tmpfs', 'none', '/mnt'],
];

export const ENVIRONMENTS: readonly Environment[] = [
  environment(isRoot ? 'as root' : 'as the user of the tests', 'traps', [], undefined),
  environment('as an ordinary user', 'traps', AS_NOBODY, noOtherUser),
  environment(
    'in a default container',
    'traps',
    [...WITHOUT_CAPABILITIES, 'python3', CONTAINER],
    has('python3') && (!isRoot || has('setpriv')) ? undefined : 'no python3 or setpriv',
  ),
  environment(
    'as root',
    'namespace',
    [],
    !isRoot
      ? 'the tests are not run by root'
      : failing(['unshare', '--mount', 'test', '-w', '/dev/fuse'], 'no mounts or no /dev/fuse'),
  ),
  environment(
    'as an ordinary user',
    'namespace',
    [...WITH_FUSE, ...AS_NOBODY],
    noOtherUser ??
      failing([...WITH_FUSE, ...AS_NOBODY, ...USER_MOUNTS], 'no user namespaces or no FUSE'),
  ),
];

/** Compile a C program of test/host/programs or examples; the result is its path. */
export function compile(source: string, ...flags: string[]): string {
  const from = join(PROJECT, source);
  const name = source.replace(/^.*\//, '').replace(/\.c$/, '') + flags.join('');
  const to = join(PROGRAMS, name);
  mkdirSync(PROGRAMS, { recursive: true });
  const built = statSync(to, { throwIfNoEntry: false });
  if (built && built.mtimeMs > newestOf(from)) return to;
  const args = ['-D_GNU_SOURCE', '-O1', '-w', ...flags, '-o', to, from, '-lpthread'];
  const { status, stderr } = spawnSync('gcc', args, { encoding: 'utf8' });
  if (status !== 0) throw new Error(stderr);
  chmodSync(to, 0o755);
  return to;
}

/** When the program or a header beside it was changed last. */
function newestOf(source: string): number {
  const folder = dirname(source);
  const headers = readdirSync(folder).filter((name) => name.endsWith('.h'));
  const files = [source, ...headers.map((name) => join(folder, name))];
  return Math.max(...files.map((file) => statSync(file).mtimeMs));
}

export interface RunOptions {
  readonly environment?: Environment;
  readonly flags?: readonly string[];
  readonly input?: string;
  /** What softiommu says of a program that fails comes after what the program says. Default: it says nothing. */
  readonly explained?: boolean;
}

function runWords(argv: readonly string[], options: RunOptions): string[] {
  const mode = options.environment ? ['--mode', options.environment.mode] : [];
  const quiet = options.explained ? [] : ['--explain', 'never'];
  const flags = [...mode, ...quiet, ...(options.flags ?? [])];
  return ['run', ...flags, '--', ...argv];
}
/** HOME of another user would be unreadable. */
const ENV = { ...process.env, HOME: tmpdir() };
function commandLine(words: readonly string[], prefix: readonly string[] = []): string[] {
  return [...prefix, process.execPath, MAIN, ...words];
}

interface CommandOptions {
  /** What comes before `node`. */
  readonly prefix?: readonly string[] | undefined;
  readonly cwd?: string;
  /** Besides those of the tests. */
  readonly env?: NodeJS.ProcessEnv;
  readonly input?: string;
  /** In milliseconds. Default: a minute. */
  readonly timeout?: number;
}
/** Any command of softiommu, by its words. */
export function command(
  words: readonly string[],
  { prefix, env, ...options }: CommandOptions = {},
): SpawnSyncReturns<string> {
  const [program, ...args] = commandLine(words, prefix);
  const common = { encoding: 'utf8', timeout: 60_000, env: { ...ENV, ...env } } as const;
  return spawnSync(program!, args, { ...common, ...options });
}

/** `softiommu run`. */
export function softiommu(
  argv: readonly string[],
  options: RunOptions = {},
): SpawnSyncReturns<string> {
  const { environment, input = '' } = options;
  return command(runWords(argv, options), { prefix: environment?.prefix, input });
}
/** `inOwnGroup`: what its program sends to its process group is not for the tests. */
export function startSoftiommu(
  argv: readonly string[],
  { inOwnGroup = false, ...options }: RunOptions & { readonly inOwnGroup?: boolean } = {},
): ChildProcess {
  const [program, ...args] = commandLine(runWords(argv, options), options.environment?.prefix);
  const stdio = ['ignore', 'pipe', 'pipe'] as const;
  return spawn(program!, args, { env: ENV, stdio: [...stdio], detached: inOwnGroup });
}

/** Directories of runs that are over, of ours: those of other tests have no number. */
function directoriesOfEndedRuns(): string[] {
  const places = [process.env['XDG_RUNTIME_DIR'] ?? tmpdir(), tmpdir()].filter(existsSync);
  return places
    .flatMap((place) => readdirSync(place))
    .filter((name) => {
      const pid = /^softiommu-(\d+)-/.exec(name)?.[1];
      return pid !== undefined && !existsSync(`/proc/${pid}`);
    });
}
const left = new Set(directoriesOfEndedRuns());
/** What runs have left behind since the tests began. */
export function strayDirectories(): string[] {
  return directoriesOfEndedRuns().filter((name) => !left.has(name));
}
