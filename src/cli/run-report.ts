/** `run --report FILE`: the page of a run, made when it has ended. */
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { EndFacts, RunResult } from '../host/launch/run.ts';
import { systemReason } from '../host/sys/system-reason.ts';
import { endText } from '../insight/ci-reports/run-outcome.ts';
import { programEnd } from './run-outcome-report.ts';
import { openPage, writePage, type PageFile } from './report-file.ts';
import { complain } from './output.ts';
import { UserMistake } from './user-mistake.ts';

/** From the opening of its file, before anything runs, to the page. */
export class RunReport {
  readonly #page: PageFile;
  readonly #trace: number;
  #facts: EndFacts | undefined;
  /** Where the kernel thread writes the trace; it closes it. */
  readonly traceFd: number;

  /** Throws UserMistake when the file cannot be written, or is something else. */
  constructor(file: string) {
    this.#page = openPage(file);
    [this.traceFd, this.#trace] = openNameless();
  }

  readonly takeFacts = (facts: EndFacts): void => {
    this.#facts = facts;
  };

  /** A page that cannot be written is said; the status of the run stays the program's. */
  write(argv: readonly string[], result: RunResult): void {
    try {
      const ending = endText(programEnd(result));
      const facts = { title: argv.join(' '), ending, ...this.#facts?.page };
      writePage(this.#page, facts, readFileSync(this.#trace, 'utf8'));
    } catch (error) {
      if (!(error instanceof UserMistake)) throw error;
      complain(error.message);
    }
    closeSync(this.#trace);
  }
}

/** One file, opened for writing and for reading, that nobody finds by a name. */
function openNameless(): [number, number] {
  try {
    const folder = mkdtempSync(join(tmpdir(), 'softiommu-report-'));
    const name = join(folder, 'trace');
    const fds: [number, number] = [openSync(name, 'wx', 0o600), openSync(name, 'r')];
    rmSync(folder, { recursive: true });
    return fds;
  } catch (error) {
    throw new UserMistake(
      `the trace of the report cannot be kept in ${tmpdir()}: ${systemReason(error)}`,
    );
  }
}
