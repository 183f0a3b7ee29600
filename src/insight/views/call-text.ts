/** A system call as one line, after strace: its arguments, its result, and the rule that refused it. */
import { isErrno, type Errno } from '../../base/errno.ts';
import type { CallEnd, CallInfo, LeaveEvent } from '../../base/events.ts';
import { hex } from '../../base/u64.ts';
import { decisiveRefusal } from '../explain/trouble.ts';
import { errnoNumberText, errnoText } from './errno-text.ts';
import { regionPlace } from './region-text.ts';
import { bytesText, constantText } from '../trace/styled-text.ts';
import { PLAIN_STYLE, type TextStyle } from '../trace/text-style.ts';
import { refusalText, structText, valueText, type NamedValues } from './value-text.ts';

/** What is known of a call: while it goes on only what it was asked. */
type Known = CallInfo & Partial<CallEnd>;

/** How the arguments of a call are shown; of others as `name(file, command, {arguments})`. */
const ARGUMENTS: Readonly<
  Record<string, (call: Known, style: TextStyle) => readonly (string | undefined)[]>
> = {
  close: (call) => [fileText(call)],
  ioctl: (call, style) => [
    fileText(call),
    call.command && constantText(call.command, style),
    ioctlArgument(call, style),
  ],
  mmap: ({ args = {}, ...call }, style) => [
    valueText(args['length'], 'length'),
    valueText(args['prot'], '', style),
    valueText(args['flags'], '', style),
    fileText(call),
    placeText(call, args),
  ],
  openat: ({ file = '', args }, style) => [
    constantText('AT_FDCWD', style),
    bytesText(new TextEncoder().encode(file), { ...style, shownBytes: Infinity }),
    args && valueText(args['flags'], '', style),
  ],
  pread64: transfer,
  pwrite64: transfer,
  read: transfer,
  write: transfer,
};

/** A call while it goes on: `[pid  1234] ioctl(3</dev/iommu>, IOMMU_DESTROY, {size=8, id=1})`. */
export function callText(call: Known, style: TextStyle = PLAIN_STYLE): string {
  const pid = call.pid === undefined ? '' : pidText(call.pid, style);
  const all = ARGUMENTS[call.name]?.(call, style) ?? [
    call.file,
    call.command,
    ioctlArgument(call, style),
  ];
  return `${pid}${call.name}(${all.filter((each) => each !== undefined).join(', ')})`;
}
/** Whose line it is, before all else in it. */
export function pidText(pid: number, { pids }: TextStyle = PLAIN_STYLE): string {
  if (!pids) return '';
  return `[pid ${String(pid).padStart(5)}] `;
}
/** A call by its file and command alone: `ioctl(3</dev/iommu>, IOMMU_DESTROY)`. */
export function whereText(call: CallInfo): string {
  return `${call.name}(${[fileText(call), call.command].filter(Boolean).join(', ')})`;
}
/** A call and what came of it, without the reason. */
export function answeredText(call: LeaveEvent, style: TextStyle = PLAIN_STYLE): string {
  const marks = `${call.injected ? ' (INJECTED)' : ''}${call.delayed ? ' (DELAYED)' : ''}`;
  return `${callText(call, style)} = ${resultText(call)}${marks}`;
}
/** The same with the rule that refused it. */
export function leaveText(call: LeaveEvent, style: TextStyle): string {
  const decisive = decisiveRefusal(call);
  const remarks = (call.remarks ?? []).map((remark) => `  ! ${refusalText(remark)}`).join('');
  return `${answeredText(call, style)}${decisive ? `  ✗ ${refusalText(decisive)}` : ''}${remarks}`;
}

/** `3</dev/iommu>`; `<…>` where the descriptor is not known. */
function fileText({ fd, file, device }: CallInfo): string | undefined {
  if (file === undefined) return fd === undefined ? undefined : String(fd);
  return `${fd ?? ''}<${file}${device === undefined ? '' : ` ${device}`}>`;
}
function ioctlArgument({ args, after }: Known, style: TextStyle): string | undefined {
  if (!args) return undefined;
  const isPlain = Object.keys(args).join() === 'arg';
  return isPlain ? valueText(args['arg'], '', style) : structText(args, after, style);
}
/** The bytes, how many were asked for, and where. */
function transfer(call: Known, style: TextStyle): (string | undefined)[] {
  const { args = {}, after, result } = call;
  const { data, length } = { ...args, ...after };
  const moved = typeof result === 'number' ? result : Number(length ?? 0);
  return [
    fileText(call),
    data instanceof Uint8Array ? bytesText(data, style, Math.max(data.length, moved)) : undefined,
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
