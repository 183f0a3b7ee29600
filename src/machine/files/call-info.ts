/** What a call is called, and what it was asked, in the event stream. */
import type { CallInfo } from '../../base/events.ts';
import { plainBuffer, type MmapRequest, type UserBuffer } from '../../base/file.ts';
import type { Task } from '../../base/task.ts';

/** What open(2) was asked for, as far as the kernel layers care. */
export interface OpenFlags {
  readonly read: boolean;
  readonly write: boolean;
  readonly nonblocking: boolean;
}

/** What a call is called in the event stream. */
export interface CallName {
  readonly pid: number;
  /** The caller; undefined where it may be gone. */
  readonly task?: Task;
  readonly name: string;
  /** Of ioctl(2): by which listeners choose. */
  readonly request?: number;
  readonly fd?: number | undefined;
  readonly file: string;
  readonly device?: string | undefined;
}
/** What it was asked: read from the program's memory. */
type Before = () => Pick<CallInfo, 'command' | 'args'>;

/** The same, read when it is asked for first and not again. */
export function readOnce<T extends { readonly before?: Before }>(telling: T): T {
  const { before } = telling;
  if (!before) return telling;
  let read: ReturnType<Before> | undefined;
  return { ...telling, before: () => (read ??= before()) };
}

/** What events say of a call. */
export function infoOf(of: CallName, telling: { readonly before?: Before }): CallInfo {
  const { pid, task, name, fd, file, device } = of;
  const isOther = task && task.tid !== pid;
  const info: { -readonly [K in keyof CallInfo]: CallInfo[K] } = isOther
    ? { what: 'syscall', pid, tid: task.tid, name }
    : { what: 'syscall', pid, name };
  if (fd !== undefined) info.fd = fd;
  info.file = file;
  if (device !== undefined) info.device = device;
  return telling.before ? Object.assign(info, telling.before()) : info;
}
/** Of a read or a write. */
export function transferArgs(length: number, offset: bigint | undefined): Record<string, unknown> {
  return { length, ...(offset !== undefined && { offset }) };
}

/** Of mmap(2), by the names of the headers. */
export function mmapArgs(request: MmapRequest): Record<string, unknown> {
  const { length, read, write, exec, shared, offset } = request;
  const prot = [read && 'PROT_READ', write && 'PROT_WRITE', exec && 'PROT_EXEC'].filter(Boolean);
  return {
    length,
    prot: prot.join('|') || 'PROT_NONE',
    flags: shared ? 'MAP_SHARED' : 'MAP_PRIVATE',
    offset,
  };
}
/** Of open(2), by the names of the headers. */
export function openFlagText({ read, write, nonblocking }: OpenFlags): string {
  const access = write ? (read ? 'O_RDWR' : 'O_WRONLY') : 'O_RDONLY';
  return nonblocking ? `${access}|O_NONBLOCK` : access;
}

/** Bytes of ours as a program's. */
export function bufferOf(buffer: Uint8Array | UserBuffer): UserBuffer {
  return buffer instanceof Uint8Array ? plainBuffer(buffer) : buffer;
}
