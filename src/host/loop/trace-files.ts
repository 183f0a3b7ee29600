/** The open files of a trace: one, or of a trace in parts one for each. What cannot be written ends it, which is said once. */
import { closeSync } from 'node:fs';
import type { CallSites } from '../../insight/sites/call-site.ts';
import type { TraceSink } from '../../insight/trace/sink.ts';
import type { Machine } from '../../machine/machine.ts';
import { HostError } from '../sys/ffi.ts';
import { systemReason } from '../sys/system-reason.ts';
import { isBrokenPipe, STDERR, writeAll } from '../sys/write-all.ts';

/** One of the places a trace goes to. */
export interface TraceTarget {
  /** What it is called in messages: 'the trace'. */
  readonly name: string;
  /** Open; it is closed at the end unless it is standard error. */
  readonly fd: number;
  /** The part of it that is open: of a trace in parts. */
  readonly first?: string | undefined;
  /** A further part: anew, and then behind what it has. A descriptor, closed as well. HostError: it cannot be opened. */
  readonly open?: (part: string) => number;
  readonly view: (machine: Machine, means: TraceMeans) => TraceSink;
}
/** What a trace is made with. */
export interface TraceMeans {
  readonly sites: CallSites;
  /** To print the lines of a part with; without one, of the trace that is open. */
  readonly printTo: (part?: string) => (line: string) => void;
}

/** Files of parts that are open at once: there may be one for each of thousands of processes, most of which are gone. */
export const MOST_OPEN_PARTS = 64;

/** Written line by line, until an error. */
export class TraceFiles {
  readonly #target: TraceTarget;
  readonly #warn: (text: string) => void;
  readonly #fds = new Map<string | undefined, number>();
  #error: unknown;

  constructor(target: TraceTarget, warn: (text: string) => void) {
    this.#target = target;
    this.#warn = warn;
    this.#fds.set(target.first, target.fd);
  }
  /** To print lines of a part with. */
  printTo(part: string | undefined): (line: string) => void {
    this.#fdOf(part);
    return (line) => {
      if (this.#error !== undefined) return;
      const fd = this.#fdOf(part);
      if (fd === undefined) return;
      const error = writeAll(fd, `${line}\n`);
      // Nobody who reads any more is no mistake: `--trace 2>&1 | head`.
      if (error !== undefined)
        this.#fail(error, isBrokenPipe(error) ? undefined : systemReason(error));
    };
  }
  /** False: some of it could not be written. */
  close(): boolean {
    for (const fd of this.#fds.values()) if (fd > STDERR) closeSync(fd);
    return this.#error === undefined || isBrokenPipe(this.#error);
  }

  /** Undefined: it cannot be opened, which is said. */
  #fdOf(part: string | undefined): number | undefined {
    const known = this.#fds.get(part);
    if (known !== undefined || part === undefined) return known ?? this.#target.fd;
    try {
      const fd = this.#target.open?.(part) ?? this.#target.fd;
      this.#fds.set(part, fd);
      this.#makeRoom();
      return fd;
    } catch (error) {
      if (!(error instanceof HostError)) throw error;
      this.#fail(error, error.message);
      return undefined;
    }
  }
  /** The part that was opened first is closed; that of the machine, or of the whole trace, stays. */
  #makeRoom(): void {
    if (this.#fds.size <= MOST_OPEN_PARTS) return;
    const oldest = [...this.#fds].find(([, fd]) => fd !== this.#target.fd);
    const [part, fd] = oldest ?? [];
    if (part === undefined || fd === undefined) return;
    closeSync(fd);
    this.#fds.delete(part);
  }
  #fail(error: unknown, reason: string | undefined): void {
    this.#error = error;
    if (reason !== undefined) {
      this.#warn(`${this.#target.name} ends here, it cannot be written: ${reason}`);
    }
  }
}
