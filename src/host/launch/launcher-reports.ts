/** What the launcher tells softiommu while a program runs, over the socket that ties their lives together. */
import { read, write } from '../sys/libc.ts';

/** Of a launcher. */
export type LauncherReport =
  /** A child of it has ended, with this wait status: the program, or an orphan. */
  | { readonly kind: 'ended'; readonly pid: number; readonly status: number }
  /** No process of the run is left. */
  | { readonly kind: 'alone' }
  /** The program is executed, or could not be. */
  | { readonly kind: 'running' };

/** A report is a process and its status, 32 bits each; in place of the process stands what no process has. */
export const ALONE = 0;
export const RUNNING = -1;
const SIZE = 8;
const MOST = 64;

/** Tell it. */
export function report(socket: number, told: LauncherReport): void {
  const bytes = Buffer.alloc(SIZE);
  const ended = told.kind === 'ended' ? told : undefined;
  bytes.writeInt32LE(ended?.pid ?? (told.kind === 'alone' ? ALONE : RUNNING), 0);
  bytes.writeInt32LE(ended?.status ?? 0, 4);
  write(socket, bytes);
}

/** What is there; undefined: the launcher is gone. */
export function hear(socket: number): LauncherReport[] | undefined {
  const bytes = Buffer.alloc(SIZE * MOST);
  const length = read(socket, bytes);
  if (length <= 0) return undefined;
  const reports: LauncherReport[] = [];
  for (let at = 0; at < length; at += SIZE) {
    const pid = bytes.readInt32LE(at);
    if (pid > 0) reports.push({ kind: 'ended', pid, status: bytes.readInt32LE(at + 4) });
    else reports.push({ kind: pid === ALONE ? 'alone' : 'running' });
  }
  return reports;
}
