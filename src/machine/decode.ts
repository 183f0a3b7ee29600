/** Arguments of an ioctl as named values, for traces: the struct behind the pointer, by the names of the uapi headers. */
import type { OpenFile } from '../base/file.ts';
import type { Task } from '../base/task.ts';

export interface Decoded {
  readonly command: string;
  readonly args?: Readonly<Record<string, unknown>>;
}

export type IoctlDecoder = (
  file: OpenFile,
  task: Task,
  cmd: number,
  arg: bigint,
) => Decoded | undefined;

/** Until a registry of structs is there: nothing is known of any ioctl. */
export const decodeIoctl: IoctlDecoder = () => undefined;
