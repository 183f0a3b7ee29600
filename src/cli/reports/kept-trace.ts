/** The trace of a run, kept in a nameless file until its page is made, or sent to those who look at it meanwhile. */
import {
  closeSync,
  fstatSync,
  mkdtempSync,
  openSync,
  readFileSync,
  readSync,
  rmSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemReason } from '../../host/sys/system-reason.ts';
import { UserMistake } from '../user-mistake.ts';
import { checkForPage } from './page-limit.ts';

/** One file, opened for writing and for reading, that nobody finds by a name. */
export class KeptTrace implements Disposable {
  /** Where the kernel thread writes; it closes it. */
  readonly writeFd: number;
  readonly #readFd: number;

  /** Throws UserMistake: there is no place for it. */
  constructor() {
    try {
      const folder = mkdtempSync(join(tmpdir(), 'softiommu-report-'));
      const name = join(folder, 'trace');
      [this.writeFd, this.#readFd] = [openSync(name, 'wx', 0o600), openSync(name, 'r')];
      rmSync(folder, { recursive: true });
    } catch (error) {
      throw new UserMistake(
        `the trace of the report cannot be kept in ${tmpdir()}: ${systemReason(error)}`,
      );
    }
  }
  /** All there is by now. Throws UserMistake: it is more than one text can be. */
  text(): string {
    const { size } = fstatSync(this.#readFd);
    checkForPage(size, 'the trace of the report', 'run less at once, or use --trace=FILE');
    return readFileSync(this.#readFd, 'utf8');
  }
  /** Bytes from a place on, as many as there are and fit: how many. */
  read(into: Buffer, from: number): number {
    return readSync(this.#readFd, into, 0, into.length, from);
  }
  [Symbol.dispose](): void {
    closeSync(this.#readFd);
  }
}
