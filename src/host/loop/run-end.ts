/** When a run is over and how its program ended: what the launcher says of it. */
import type { Launcher } from '../launch/launch.ts';
import type { Wait } from '../launch/launcher-order.ts';
import { hear, type LauncherReport } from '../launch/launcher-reports.ts';
import { HostError } from '../sys/ffi.ts';
import type { WatchedFds } from './watched-fds.ts';

/** What is asked, and whom is told. */
export interface RunEndParts {
  /** The program itself, whose end is the run's result. */
  readonly pid: number;
  readonly launcher: Launcher;
  /** What the run lasts for. */
  readonly wait: Wait;
  /** Tell why the program could not be executed (an errno): the wait status in place of its own. */
  readonly notRun: (error: number) => number;
  /** The program has ended, and others of the run may not have. */
  readonly programEnded: () => void;
}

/** Follows the launcher from the first look at its socket. */
export class RunEnd {
  isOver = false;
  readonly #parts: RunEndParts;
  readonly #listener: number;
  /** Why the program could not be executed, by its errno. */
  #notRun: number | undefined;
  /** Wait status of the program, once it has ended. */
  #exitStatus: number | undefined;

  constructor(parts: RunEndParts, watches: WatchedFds, listener: number) {
    this.#parts = parts;
    this.#listener = listener;
    const { socket } = parts.launcher;
    const watch = watches.watchFd(socket, () => {
      const reports = hear(socket);
      for (const report of reports ?? []) this.#heard(report);
      if (reports) return;
      this.isOver = true;
      watch[Symbol.dispose]();
    });
  }

  /** The program's wait status, when it is over. HostError: the launcher has been killed. */
  get status(): number {
    if (this.#exitStatus !== undefined) return this.#exitStatus;
    throw new HostError('the launcher, which is above the program, was killed');
  }

  #heard(report: LauncherReport): void {
    const { launcher, pid } = this.#parts;
    switch (report.kind) {
      case 'running':
        this.#notRun = launcher.notRun();
        launcher.lend(this.#listener);
        return;
      case 'ended':
        if (report.pid === pid) this.#programEnded(report.status);
        return;
      case 'alone':
        this.isOver = true;
    }
  }
  #programEnded(status: number): void {
    if (this.#exitStatus !== undefined) return; // another process has got its number
    const { notRun, wait, programEnded } = this.#parts;
    this.#exitStatus = this.#notRun === undefined ? status : notRun(this.#notRun);
    if (wait === 'program') this.isOver = true;
    else programEnded();
  }
}
