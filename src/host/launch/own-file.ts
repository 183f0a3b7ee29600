/**
 * Files of the user's that a run writes anew. What is there already is overwritten only when it is empty or one of ours: a
 * program, or anything else that was named by mistake, stays as it is.
 */
import {
  closeSync,
  constants,
  fstatSync,
  lstatSync,
  ftruncateSync,
  openSync,
  readSync,
  statSync,
  type Stats,
} from 'node:fs';
import { systemReason } from '../sys/system-reason.ts';

/** One kind of such files. */
export interface OwnKind {
  /** The option that names one, as in messages. */
  readonly option: string;
  /** Does a file that begins so belong to it? */
  readonly isOurs: (head: string) => boolean;
  /** What a file is not that is none: 'no trace'. */
  readonly none: string;
  /** What is there stays until something is written: the caller empties it then. */
  readonly isKept?: true;
}
/** Open for writing, a file from its start; or why it may not be written. */
export type OwnFile =
  { readonly fd: number; readonly isFile: boolean } | { readonly problem: string };

/** Bytes that tell whose a file is. */
const HEAD = 64;

/** A file, new or one of ours; or a terminal, a null device, a pipe, where nothing can be lost. */
export function openOwn(file: string, kind: OwnKind): OwnFile {
  try {
    const there = statSync(file, { throwIfNoEntry: false });
    return there && !there.isFile() ? openOther(file, there) : openFile(file, kind);
  } catch (error) {
    return { problem: systemReason(error) };
  }
}

/** While programs run, which may have less rights than we and put something in its place: a plain file only, through no link. */
export function openOwnMeanwhile(file: string, kind: OwnKind): OwnFile {
  try {
    const there = lstatSync(file, { throwIfNoEntry: false });
    if (there && !there.isFile()) return { problem: 'it is no plain file' };
    return openFile(file, kind, constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch (error) {
    return { problem: systemReason(error) };
  }
}

function openFile(file: string, kind: OwnKind, more = 0): OwnFile {
  const { O_RDWR, O_CREAT, O_NOCTTY } = constants;
  const fd = openSync(file, O_RDWR | O_CREAT | O_NOCTTY | more, 0o666);
  const problem = forbidden(fd, fstatSync(fd), kind);
  if (problem !== undefined) {
    closeSync(fd);
    return { problem };
  }
  if (!kind.isKept) ftruncateSync(fd, 0);
  return { fd, isFile: true };
}

/** Why a file that is there may not be overwritten. */
function forbidden(
  fd: number,
  found: Stats,
  { isOurs, none, option }: OwnKind,
): string | undefined {
  const head = Buffer.alloc(HEAD);
  if (isOurs(head.toString('utf8', 0, readSync(fd, head, 0, HEAD, 0)))) return undefined;
  if ((found.mode & 0o111) !== 0) return `it is a program, and ${option} would overwrite it`;
  return found.size === 0 ? undefined : `it is there already and is ${none}`;
}

function openOther(file: string, found: Stats): OwnFile {
  if (found.isDirectory()) return { problem: 'it is a directory' };
  if (!found.isFIFO() && !found.isCharacterDevice()) {
    return { problem: 'it is no file, pipe or character device' };
  }
  const { O_WRONLY, O_NOCTTY, O_NONBLOCK } = constants;
  if (!found.isFIFO()) return { fd: openSync(file, O_WRONLY | O_NOCTTY), isFile: false };
  // Without waiting for a reader: an interrupt from the keyboard would not end the wait.
  const reader = openSync(file, O_WRONLY | O_NONBLOCK);
  try {
    return { fd: openSync(file, O_WRONLY), isFile: false };
  } finally {
    closeSync(reader);
  }
}
