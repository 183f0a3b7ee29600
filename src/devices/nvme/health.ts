/** What a controller counts: for the SMART log, and its latest errors for the error log (devices.md 4.4). */
import type { Command } from './command.ts';
import { statusField } from './status.ts';

/** ELPE + 1. */
export const ERROR_ENTRIES = 64;

/** One error of a command. */
export interface LoggedError {
  readonly count: number;
  readonly sqId: number;
  readonly commandId: number;
  readonly field: number;
  readonly nsid: number;
  readonly lba: number;
}

/** What is counted. */
export interface Counters {
  blocksRead: number;
  blocksWritten: number;
  reads: number;
  writes: number;
  mediaErrors: number;
  errors: number;
}
const NOTHING: Counters = {
  blocksRead: 0,
  blocksWritten: 0,
  reads: 0,
  writes: 0,
  mediaErrors: 0,
  errors: 0,
};

/** Health at one moment. */
export interface HealthState {
  readonly counters: Counters;
  readonly errors: readonly LoggedError[];
  readonly changed: readonly number[];
}

/** Counters and errors; they outlive the controller being disabled, and not a reset. */
export class Health {
  /** Blocks here are of 512 bytes. */
  readonly counters: Counters = { ...NOTHING };
  /** The newest first. */
  readonly errors: LoggedError[] = [];
  /** Namespaces that have changed since the host looked. */
  readonly changed = new Set<number>();

  failed(command: Command, status: number): void {
    this.counters.errors++;
    this.errors.unshift({
      count: this.counters.errors,
      sqId: command.sqId,
      commandId: command.id,
      field: statusField(status),
      nsid: command.nsid,
      lba: command.sqId === 0 ? 0 : command.slba,
    });
    this.errors.length = Math.min(this.errors.length, ERROR_ENTRIES);
  }
  reset(): void {
    this.restore({ counters: NOTHING, errors: [], changed: [] });
  }
  /** A copy. */
  state(): HealthState {
    return { counters: { ...this.counters }, errors: [...this.errors], changed: [...this.changed] };
  }
  restore({ counters, errors, changed }: HealthState): void {
    Object.assign(this.counters, counters);
    this.errors.splice(0, this.errors.length, ...errors);
    this.changed.clear();
    for (const nsid of changed) this.changed.add(nsid);
  }
}
