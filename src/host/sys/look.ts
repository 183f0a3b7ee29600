/**
 * Looking at what a descriptor is open on, without asking whoever serves its file system.
 *
 * That may be ourselves: of our own mount, a plain stat(2) would wait for an answer of the thread that asks. Or a program
 * of the run, which waits for us. So what the kernel knows is taken as it is, of descriptors only: a name would have to
 * be looked up.
 */
import { cString, syscall } from './ffi.ts';
import { AT_FDCWD, NR } from './numbers.ts';
import { textOf } from './procfs.ts';

/** What the kernel knows of a file. */
export interface FileLook {
  /** As /proc/PID/maps writes it: 'major:minor' in hex. */
  readonly device: string;
  readonly ino: bigint;
  readonly size: bigint;
  /** Permissions, without the type. */
  readonly permissions: number;
  readonly isRegular: boolean;
  readonly isLink: boolean;
  /** 'mount:inode', as in /proc/PID/fdinfo. */
  readonly file: string;
}

const AT_STATX_DONT_SYNC = 0x4000;
const BASIC_STATS = 0x7ff;
const MOUNT_ID = 0x1000;
const S_IFMT = 0o170000;
const S_IFREG = 0o100000;
const S_IFLNK = 0o120000;
const INODE = 0x100;
const AT = { mode: 28, ino: 32, size: 40, major: 136, minor: 140, mount: 144, end: 256 } as const;
/** Words that differ when files do. */
const WHICH = [AT.ino / 4, AT.ino / 4 + 1, AT.major / 4, AT.minor / 4];
const found = Buffer.alloc(AT.end);

/** For a statx(2) among other calls: what tells which file it is, and nothing else. */
export const WHICH_FILE = { flags: AT_STATX_DONT_SYNC, mask: INODE, size: AT.end } as const;

/** The file of such a statx, as objectOf() says it: one text as long as it is the same file. */
export class WhichFile {
  readonly bytes = Buffer.alloc(WHICH_FILE.size);
  readonly #words = new Uint32Array(this.bytes.buffer, this.bytes.byteOffset, AT.end / 4);
  #last: readonly number[] = [];
  #object = '';

  get object(): string {
    const now = this.#words;
    if (WHICH.some((word, n) => now[word] !== this.#last[n])) {
      this.#last = WHICH.map((word) => now[word]!);
      this.#object = objectOf({
        device: deviceIn(this.bytes),
        ino: this.bytes.readBigUInt64LE(AT.ino),
      });
    }
    return this.#object;
  }
}

/** A descriptor of ours or of another process, by the link in /proc that leads to what it is open on. */
export type DescriptorLink = `/proc/${number | 'self'}/fd/${number | string}`;
/** The same, or a directory of a process, or what it has mapped, by the addresses of the mapping in hex. */
export type FileLink =
  DescriptorLink | `/proc/${number}/${'cwd' | 'root'}` | `/proc/${number}/map_files/${string}`;

/** Undefined: it is not open, or may not be looked at. */
export function lookAt(link: FileLink): FileLook | undefined {
  const dontAsk = AT_STATX_DONT_SYNC;
  const rc = syscall(NR.statx, AT_FDCWD, cString(link), dontAsk, BASIC_STATS | MOUNT_ID, found);
  if (rc < 0) return undefined;
  const mode = found.readUInt16LE(AT.mode);
  return {
    device: deviceIn(found),
    ino: found.readBigUInt64LE(AT.ino),
    size: found.readBigUInt64LE(AT.size),
    permissions: mode & ~S_IFMT,
    isRegular: (mode & S_IFMT) === S_IFREG,
    isLink: (mode & S_IFMT) === S_IFLNK,
    file: `${found.readBigUInt64LE(AT.mount)}:${found.readBigUInt64LE(AT.ino)}`,
  };
}

/**
 * The device of what a descriptor is open on, and nothing else: a FUSE mount of a user namespace says so much, and no more,
 * to those outside of it. Undefined: it is not open, or may not be looked at.
 */
export function deviceOf(link: DescriptorLink): string | undefined {
  const rc = syscall(NR.statx, AT_FDCWD, cString(link), AT_STATX_DONT_SYNC, 0, found);
  return rc < 0 ? undefined : deviceIn(found);
}

/** As /proc/PID/maps writes it: 'major:minor:inode', the first two in hex. */
export function objectOf({ device, ino }: Pick<FileLook, 'device' | 'ino'>): string {
  return `${device}:${ino}`;
}
function deviceIn(statx: Buffer): string {
  return [AT.major, AT.minor]
    .map((at) => statx.readUInt32LE(at).toString(16).padStart(2, '0'))
    .join(':');
}

/** The flags a descriptor was opened with; 0: it is not open, or may not be looked at. */
export function openFlagsOf(link: DescriptorLink): number {
  const text = textOf(link.replace('/fd/', '/fdinfo/'));
  return Number.parseInt(/^flags:\s*(\d+)/m.exec(text)?.[1] ?? '0', 8);
}
