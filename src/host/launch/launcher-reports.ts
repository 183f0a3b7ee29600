/** What the launcher tells softiommu while a program runs, over the socket that ties their lives together. */
import { read, write } from '../sys/libc.ts';

/** Of a launcher. */
export type LauncherReport =
  | { readonly kind: 'ended'; readonly status: number }
  | { readonly kind: 'alone' }
  | { readonly kind: 'running' };

const KINDS = ['ended', 'alone', 'running'] as const;
const SIZE = 8;

/** `running`: the program is executed. `ended`: it has, with this wait status. `alone`: no process of the run is left. */
export function report(socket: number, told: LauncherReport): void {
  const bytes = Buffer.alloc(SIZE);
  bytes.writeInt32LE(KINDS.indexOf(told.kind), 0);
  bytes.writeInt32LE(told.kind === 'ended' ? told.status : 0, 4);
  write(socket, bytes);
}

/** What is there; undefined: the launcher is gone. */
export function hear(socket: number): LauncherReport[] | undefined {
  const bytes = Buffer.alloc(SIZE * KINDS.length);
  const length = read(socket, bytes);
  if (length <= 0) return undefined;
  const reports: LauncherReport[] = [];
  for (let at = 0; at < length; at += SIZE) {
    const kind = KINDS[bytes.readInt32LE(at)]!;
    reports.push(kind === 'ended' ? { kind, status: bytes.readInt32LE(at + 4) } : { kind });
  }
  return reports;
}
