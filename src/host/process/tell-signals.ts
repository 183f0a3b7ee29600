/** Signals and ends of processes as events, by the names of signal(7) and sigaction(2). */
import type { ExitEvent, SignalEvent } from '../../base/events.ts';
import type { Trace } from '../../base/trace.ts';
import type { Machine } from '../../machine/machine.ts';
import { tellBusError } from '../../machine/files/bus-error.ts';
import { SIGBUS } from '../sys/numbers.ts';
import { signalName } from '../sys/signal-name.ts';
import type { MappedRegisters } from './mapped-registers.ts';
import type { SignalCause } from '../sys/ptrace.ts';

/** What is known of a fault. */
interface FaultParts {
  readonly machine: Pick<Machine, 'env'>;
  readonly registers: Pick<MappedRegisters, 'mapping'>;
}

/** si_code of any signal. */
const CODES: Readonly<Record<number, string>> = {
  0: 'SI_USER',
  128: 'SI_KERNEL',
  [-1]: 'SI_QUEUE',
  [-2]: 'SI_TIMER',
  [-6]: 'SI_TKILL',
};
/** si_code of faults. */
const FAULTS: Readonly<Record<string, readonly string[]>> = {
  SIGBUS: ['BUS_ADRALN', 'BUS_ADRERR', 'BUS_OBJERR'],
  SIGFPE: ['FPE_INTDIV', 'FPE_INTOVF'],
  SIGILL: ['ILL_ILLOPC', 'ILL_ILLOPN'],
  SIGSEGV: ['SEGV_MAPERR', 'SEGV_ACCERR'],
};

/** 'SIGBUS'; 'SIG35' for one without a name. */
function toldName(signal: number): string {
  return signalName(signal) ?? `SIG${signal}`;
}

/** A thread goes on with a signal. */
export function tellSignal(
  trace: Trace,
  { pid, tid }: { readonly pid: number; readonly tid: number },
  signal: number,
  { code, address }: SignalCause,
): void {
  if (!trace.on) return;
  const name = toldName(signal);
  const fault = code > 0 ? FAULTS[name] : undefined;
  const event: SignalEvent = {
    kind: 'signal',
    pid,
    ...(tid !== pid && { tid }),
    signal: name,
    code: fault?.[code - 1] ?? CODES[code] ?? code,
    ...(fault && { address }),
  };
  trace.emit(event);
}

/** The same of an access: where registers did not answer, with why. */
export function tellFault(
  { machine, registers }: FaultParts,
  thread: { readonly pid: number; readonly tid: number },
  signal: number,
  cause: SignalCause,
): void {
  const { trace } = machine.env;
  if (!trace.heedsTroubles) return;
  const { address, code } = cause;
  const isTouch = signal === SIGBUS && code > 0;
  const window = isTouch
    ? registers.mapping(thread, Number(address >> 12n))?.io?.window
    : undefined;
  if (window) tellBusError(trace, { ...thread, address, window });
  else tellSignal(trace, thread, signal, cause);
}

/** By its wait status. */
export function tellExit(trace: Trace, pid: number, waitStatus: number): void {
  if (!trace.on) return;
  const signal = waitStatus & 0x7f;
  const how = signal === 0 ? { status: waitStatus >> 8 } : { signal: toldName(signal) };
  trace.emit({ kind: 'exit', pid, ...how } satisfies ExitEvent);
}
