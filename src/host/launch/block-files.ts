/**
 * The files that block devices of a machine are on: opened with the rights of whoever started the run, before it begins.
 *
 * A file is locked (flock(2)) while it is used: by one run and one device that writes, or by any number that only read.
 */
import { closeSync, constants, fstatSync, ftruncateSync, openSync, unlinkSync } from 'node:fs';
import { resolve } from 'node:path';
import { bytesOf, LARGEST_DISK, SECTOR } from '../../machine/description/block-sizes.ts';
import type { BlockDescription } from '../../machine/description/blocks.ts';
import type { Problem } from '../../machine/description/shape-problems.ts';
import { printable } from '../../machine/description/wording.ts';
import { syscall } from '../sys/ffi.ts';
import { LOCK_EX, LOCK_NB, LOCK_SH, NR } from '../sys/numbers.ts';
import { systemReason } from '../sys/system-reason.ts';

/** A file that is open. Plain data: it crosses to the kernel thread. */
export interface BlockFile {
  readonly name: string;
  readonly fd: number;
  /** Bytes. */
  readonly length: number;
  /** It is not written: because the device is read-only, or what it writes stays in memory. */
  readonly mode: NonNullable<BlockDescription['mode']>;
}

/** Open all of them, or say what is wrong with each. `folder`: what names under a key are relative to. */
export function openBlockFiles(
  blocks: Readonly<Record<string, BlockDescription>>,
  folder: (path: Problem['path']) => string = () => '.',
): { readonly files: readonly BlockFile[] } | { readonly problems: readonly Problem[] } {
  const files: BlockFile[] = [];
  const problems: Problem[] = [];
  for (const [name, block] of Object.entries(blocks)) {
    if (block.file === undefined) continue;
    const path = ['blocks', name, 'file'];
    const opened = openBlockFile(name, resolve(folder(path), block.file), block);
    if (typeof opened !== 'string') files.push(opened);
    else problems.push({ path, message: `${printable(block.file)} ${opened}` });
  }
  if (problems.length === 0) return { files };
  for (const { fd } of files) closeSync(fd);
  return { problems };
}

function openBlockFile(
  name: string,
  file: string,
  { mode = 'read-write', size }: BlockDescription,
): BlockFile | string {
  const writes = mode === 'read-write';
  let fd: number | undefined;
  try {
    const made = size === undefined ? undefined : make(file, bytesOf(size));
    // A pipe without a writer would be waited for.
    const flags = (writes ? constants.O_RDWR : constants.O_RDONLY) | constants.O_NONBLOCK;
    fd = made ?? openSync(file, flags);
    const length = fstatSync(fd).size;
    const problem = unusable(fd, length, writes) ?? otherSize(length, size);
    if (problem === undefined) return { name, fd, length, mode };
    closeSync(fd);
    return problem;
  } catch (error) {
    if (fd !== undefined) closeSync(fd);
    return `cannot be ${writes ? 'written' : 'read'}: ${systemReason(error)}`;
  }
}

/** A new file; undefined: there is one. */
function make(file: string, bytes: number): number | undefined {
  const { O_RDWR, O_CREAT, O_EXCL } = constants;
  let fd: number;
  try {
    fd = openSync(file, O_RDWR | O_CREAT | O_EXCL, 0o600);
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'EEXIST') return undefined;
    throw error;
  }
  try {
    ftruncateSync(fd, bytes);
    return fd;
  } catch (error) {
    closeSync(fd);
    unlinkSync(file);
    throw error;
  }
}

function unusable(fd: number, length: number, writes: boolean): string | undefined {
  if (!fstatSync(fd).isFile()) return 'is no regular file';
  if (length === 0) return 'is empty, and a disk has blocks';
  if (length % SECTOR !== 0) {
    return `is ${length} bytes long, and a disk is of whole blocks of ${SECTOR} bytes`;
  }
  if (length > LARGEST_DISK) return `is ${length} bytes long, and a disk has at most 1024T`;
  if (syscall(NR.flock, fd, (writes ? LOCK_EX : LOCK_SH) | LOCK_NB) === 0) return undefined;
  return 'is in use by another block device or another run';
}
function otherSize(length: number, size: BlockDescription['size']): string | undefined {
  if (size === undefined || bytesOf(size) === length) return undefined;
  return `is there, and ${length} bytes long: size is said of a file that is to be made`;
}
