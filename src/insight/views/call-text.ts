/** A system call as one line, after strace: its arguments, its result, and the rule that refused it. */
import { isErrno, type Errno } from '../../base/errno.ts';
import type { CallEnd, CallInfo, LeaveEvent } from '../../base/events.ts';
import { hex } from '../../base/u64.ts';
import { decisiveRefusal } from '../explain/trouble.ts';
import { errnoNumberText, errnoText } from './errno-text.ts';
import { regionPlace } from './region-text.ts';
import { bytesText, refusalText, structText, valueText, type NamedValues } from './value-text.ts';

/** What is known of a call: while it goes on only what it was asked. */
type Known = CallInfo & Partial<CallEnd>;

/** How the arguments of a call are shown; of others as `name(file, command, {arguments})`. */
const ARGUMENTS: Readonly<Record<string, (call: Known) => readonly (string | undefined)[]>> = {
  close: (call) => [fileText(call)],
  ioctl: (call) => [fileText(call), call.command, ioctlArgument(call)],
  mmap: ({ args = {}, ...call }) => [
    valueText(args['length'], 'length'),
    valueText(args['prot']),
    valueText(args['flags']),
    fileText(call),
    placeText(call, args),
  ],
  openat: ({ file = '', args }) => ['AT_FDCWD', `"${file}"`, args && valueText(args['flags'])],
  pread64: transfer,
  pwrite64: transfer,
  read: transfer,
  write: transfer,
};

/** A call while it goes on: `[pid  1234] ioctl(3</dev/iommu>, IOMMU_DESTROY, {size=8, id=1})`. */
export function callText(call: Known): string {
  const pid = call.pid === undefined ? '' : `[pid ${String(call.pid).padStart(5)}] `;
  const all = ARGUMENTS[call.name]?.(call) ?? [call.file, call.command, ioctlArgument(call)];
  return `${pid}${call.name}(${all.filter((each) => each !== undefined).join(', ')})`;
}
/** A call and what came of it, without the reason. */
export function answeredText(call: LeaveEvent): string {
  const marks = `${call.injected ? ' (INJECTED)' : ''}${call.delayed ? ' (DELAYED)' : ''}`;
  return `${callText(call)} = ${resultText(call)}${marks}`;
}
/** The same with the rule that refused it. */
export function leaveText(call: LeaveEvent): string {
  const decisive = decisiveRefusal(call);
  return `${answeredText(call)}${decisive ? `  ✗ ${refusalText(decisive)}` : ''}`;
}

/** `3</dev/iommu>`; `<…>` where the descriptor is not known. */
function fileText({ fd, file, device }: CallInfo): string | undefined {
  if (file === undefined) return fd === undefined ? undefined : String(fd);
  return `${fd ?? ''}<${file}${device === undefined ? '' : ` ${device}`}>`;
}
function ioctlArgument({ args, after }: Known): string | undefined {
  if (!args) return undefined;
  const isPlain = Object.keys(args).join() === 'arg';
  return isPlain ? valueText(args['arg']) : structText(args, after);
}
/** The bytes, how many were asked for, and where. */
function transfer(call: Known): (string | undefined)[] {
  const { args = {}, after, result } = call;
  const { data, length } = { ...args, ...after };
  const moved = typeof result === 'number' ? result : Number(length ?? 0);
  return [
    fileText(call),
    data instanceof Uint8Array ? bytesText(data, Math.max(data.length, moved)) : undefined,
    length === undefined ? undefined : valueText(length, 'length'),
    placeText(call, args),
  ];
}
function placeText({ device }: CallInfo, { offset }: NamedValues): string | undefined {
  if (typeof offset !== 'bigint') return undefined;
  return device !== undefined ? `${hex(offset)} /* ${regionPlace(offset)} */` : hex(offset);
}

function resultText(call: LeaveEvent): string {
  const { result } = call;
  if (result === undefined) return 'ok';
  if (isErrno(result)) return failureText(result);
  if (result < 0) return `-1 ${errnoNumberText(-result)}`;
  return call.name === 'openat' ? `${result}<${call.file}>` : String(result);
}
function failureText(errno: Errno): string {
  return `-1 ${errnoText(errno.name)}`;
}
