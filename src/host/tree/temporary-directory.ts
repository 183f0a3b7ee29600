/**
 * The directory of a run on the host: private, of a name nobody can foresee, and locked for as long as the run is there.
 *
 * The lock says what a process number cannot, in a container least of all: an unlocked one is of a run that was killed,
 * and the next run of the same user removes it. Nothing on the way to it, or in it, is followed when it is a link.
 */
import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { HostError, syscall } from '../sys/ffi.ts';
import * as libc from '../sys/libc.ts';
import {
  LOCK_EX,
  LOCK_NB,
  NR,
  O_CLOEXEC,
  O_DIRECTORY,
  O_NOFOLLOW,
  O_PATH,
} from '../sys/numbers.ts';
import { systemReason } from '../sys/system-reason.ts';

const PREFIX = 'softiommu-';
/** Of a run, as mkdtemp makes it: people call directories of theirs after us too. */
const OF_A_RUN = new RegExp(`^${PREFIX}\\d+-[A-Za-z0-9]{6}$`);
/** Another run may take a new directory for one that was left, in the moment before it is locked. */
const MOST_TRIES = 16;

/** Of one run. */
export class TemporaryDirectory {
  readonly path: string;
  readonly #fd: number;
  private constructor(path: string, fd: number) {
    this.path = path;
    this.#fd = fd;
  }

  /** Also sweeps up after runs that were killed. HostError: no file system takes it, with what the first one said. */
  static make(bases: readonly string[] = basesOf(process.env)): TemporaryDirectory {
    let reason: string | undefined;
    for (const base of bases) {
      try {
        sweep(base);
        return TemporaryDirectory.#makeIn(fs.realpathSync(base));
      } catch (error) {
        if (error instanceof HostError) throw error;
        reason ??= `${base}: ${systemReason(error)}`;
      }
    }
    throw new HostError(
      `no directory for temporary files can be made (${reason ?? 'there is no place'}): set TMPDIR to where one can`,
    );
  }
  static #makeIn(base: string): TemporaryDirectory {
    for (let n = 0; n < MOST_TRIES; n++) {
      const path = fs.mkdtempSync(join(base, `${PREFIX}${process.pid}-`));
      const fd = openOwn(path);
      if (fd === undefined) continue;
      lock(fd);
      if (isAt(path, fd)) return new TemporaryDirectory(path, fd);
      libc.close(fd);
    }
    throw new HostError(`other runs remove the directory ${base}/${PREFIX}… as it is made`);
  }

  /** With everything in it. */
  remove(): void {
    removeTemporaryDirectory(this.path);
    libc.close(this.#fd);
  }
}

/** A run's directory with everything in it; what cannot be removed, or is not ours, is left. */
export function removeTemporaryDirectory(path: string): void {
  const fd = openOwn(path);
  if (fd === undefined) return;
  empty(path, fd);
  libc.close(fd);
}

/** The user's own place first: nobody else sees what is in it. */
function basesOf(env: NodeJS.ProcessEnv): string[] {
  const own = env['XDG_RUNTIME_DIR'];
  const isOwn = own !== undefined && own.startsWith('/') && isPrivate(own);
  return [...(isOwn ? [own] : []), tmpdir(), '/tmp', '/var/tmp', '/dev/shm'];
}
function isPrivate(path: string): boolean {
  const fd = openOwn(path);
  if (fd !== undefined) libc.close(fd);
  return fd !== undefined;
}

function sweep(base: string): void {
  for (const name of fs.readdirSync(base)) {
    if (!OF_A_RUN.test(name)) continue;
    const path = join(base, name);
    const fd = openOwn(path);
    if (fd === undefined) continue;
    if (lock(fd)) empty(path, fd);
    libc.close(fd);
  }
}

/** A directory, no link to one, that is ours and nobody else's to look into. */
function openOwn(path: string): number | undefined {
  const fd = libc.open(path, O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0) return undefined;
  const { uid, mode } = fs.fstatSync(fd);
  if (uid === process.geteuid?.() && (mode & 0o077) === 0) return fd;
  libc.close(fd);
  return undefined;
}
/** False: somebody has it locked. Where nothing can be locked, nothing is swept either. */
function lock(fd: number): boolean {
  return syscall(NR.flock, fd, LOCK_EX | LOCK_NB) === 0;
}
/** By the descriptor, so that nothing that has taken its name meanwhile is touched. */
function empty(path: string, fd: number): void {
  try {
    const inside = `/proc/self/fd/${fd}`;
    for (const name of fs.readdirSync(inside)) {
      openUp(join(inside, name));
      fs.rmSync(join(inside, name), { recursive: true, force: true });
    }
    if (isAt(path, fd)) fs.rmdirSync(path);
  } catch {
    return; // another run does the same, or the file system is read-only
  }
}
/** Nobody could pass it (shadow-tree.ts). */
function openUp(path: string): void {
  const fd = libc.open(path, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0) return;
  fs.chmodSync(`/proc/self/fd/${fd}`, 0o700);
  libc.close(fd);
}
function isAt(path: string, fd: number): boolean {
  const there = fs.lstatSync(path, { throwIfNoEntry: false });
  const { dev, ino } = fs.fstatSync(fd);
  return there?.dev === dev && there.ino === ino;
}
