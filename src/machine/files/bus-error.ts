/** A touch of registers that do not answer: a SIGBUS, told to whoever listens, with why they do not. */
import type { Trace } from '../../base/trace.ts';
import type { MmioWindow } from '../../base/file.ts';

/** Who touched what, and where it lies in its memory. */
export interface FailedTouch {
  readonly pid: number;
  /** Where it is not the first thread of its process. */
  readonly tid?: number | undefined;
  readonly address: bigint;
  readonly window: Pick<MmioWindow, 'name' | 'obstacle'>;
}

/** The thread is about to get the signal, as far as it does not ignore what cannot be ignored. */
export function tellBusError(trace: Trace, { pid, tid, address, window }: FailedTouch): void {
  if (!trace.heedsTroubles) return;
  const why = window.obstacle?.();
  const device = why?.facts['device'];
  trace.emit({
    kind: 'signal',
    pid,
    ...(tid !== undefined && tid !== pid && { tid }),
    signal: 'SIGBUS',
    code: 'BUS_ADRERR',
    address,
    file: window.name,
    ...(typeof device === 'string' && { device }),
    ...(why && { why }),
  });
}
