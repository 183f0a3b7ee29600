/** The calls of one run as they are compared with those of another: what was called, and what it answered. */

/** One call, or several in a row that are the same. */
export interface LoggedCall {
  /** 'openat /dev/vfio/0', 'VFIO_SET_IOMMU VFIO_TYPE1_IOMMU' */
  readonly call: string;
  /** 'ok', '2', 'ENOENT' */
  readonly result: string;
  readonly times: number;
}

/** The parts of a line of a trace that matter here. */
interface Line {
  readonly event?: {
    readonly kind?: string;
    readonly what?: string;
    readonly name?: string;
    readonly file?: string;
    readonly command?: string;
    readonly args?: { readonly arg?: unknown };
    readonly result?: number | string;
  };
}
type LineEvent = NonNullable<Line['event']>;

/** What goes without saying, and comes in an order of its own at the end of a program. */
const UNTOLD = new Set(['close']);
/** They answer with a number that says nothing: of a descriptor, or an address. */
const ANSWERS_PLACE = /^(openat|mmap|VFIO_GROUP_GET_DEVICE_FD)\b/;

/** From the lines of a trace, in the order the calls ended. */
export function callLog(lines: Iterable<string>): LoggedCall[] {
  const log: LoggedCall[] = [];
  for (const line of lines) {
    const { event } = parsed(line);
    if (event?.kind !== 'leave' || event.what !== 'syscall' || UNTOLD.has(event.name ?? ''))
      continue;
    const call = callOf(event);
    const result = resultOf(call, event);
    const last = log.at(-1);
    if (last?.call === call && last.result === result) {
      log[log.length - 1] = { ...last, times: last.times + 1 };
    } else log.push({ call, result, times: 1 });
  }
  return log;
}
function parsed(line: string): Line {
  try {
    // cast: every member is looked at before it is used
    return JSON.parse(line) as Line;
  } catch {
    return {}; // the last line of a run that was killed
  }
}
function callOf({ name = '', command, file, args }: LineEvent): string {
  if (command !== undefined) {
    // A number is an address, or what was left in the register of a command that takes nothing.
    const named = typeof args?.arg === 'string' && /^[A-Z]/.test(args.arg);
    return named ? `${command} ${args.arg}` : command;
  }
  return file === undefined ? name : `${name} ${file}`;
}
function resultOf(call: string, { result }: LineEvent): string {
  if (typeof result === 'string') return result;
  return result === undefined || ANSWERS_PLACE.test(call) ? 'ok' : String(result);
}
