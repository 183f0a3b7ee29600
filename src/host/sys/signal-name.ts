/** Signals by the names of signal(7). */
import { constants } from 'node:os';

/** 'SIGBUS'; undefined for one without a name. */
export function signalName(signal: number): string | undefined {
  return Object.entries(constants.signals).find(([, number]) => number === signal)?.[0];
}
