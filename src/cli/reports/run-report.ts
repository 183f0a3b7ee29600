/** `run --report FILE`: the page of a run, made when it has ended. */
import type { RunFacts } from '../../insight/report/run-facts.ts';
import type { KeptTrace } from './kept-trace.ts';
import { complain } from '../output.ts';
import type { OpenReport } from './open-report.ts';
import { openPage, writePage } from './report-file.ts';
import { UserMistake } from '../user-mistake.ts';

/** From the opening of its file, before anything runs, to the page. */
export class RunReport {
  readonly #page: OpenReport;

  /** Throws UserMistake when the file cannot be written, or is something else. */
  constructor(file: string) {
    this.#page = openPage(file);
  }
  /** A page that cannot be written is said; the status of the run stays the program's. */
  write(facts: Omit<RunFacts, 'version'>, trace: KeptTrace): void {
    try {
      writePage(this.#page, facts, trace.text());
    } catch (error) {
      if (!(error instanceof UserMistake)) throw error;
      complain(error.message);
    }
  }
}
