/** The folder of an exploration: one line for each trial, so that it can go on, and be joined with others. */
import { appendFileSync, existsSync, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { systemReason } from '../../host/sys/system-reason.ts';
import { UserMistake } from '../user-mistake.ts';
import type { TrialResult } from './campaign.ts';

const FILE = 'results.jsonl';
/** The first line: whose trials these are. */
interface Head {
  readonly explore: 'softiommu';
  readonly v: 1;
  readonly argv: readonly string[];
}

/** Trials of one program, and where further ones are written. */
export class ResultsFolder {
  readonly argv: readonly string[];
  readonly known: readonly TrialResult[];
  readonly #file: string;

  private constructor(file: string, argv: readonly string[], known: readonly TrialResult[]) {
    this.#file = file;
    this.argv = argv;
    this.known = known;
  }
  /** One that is there, or a new one. Throws UserMistake: it is of another program, or cannot be used. */
  static open(folder: string, argv: readonly string[]): ResultsFolder {
    return told(folder, () => {
      const file = join(folder, FILE);
      if (existsSync(file)) {
        const there = ResultsFolder.read(folder);
        if (JSON.stringify(there.argv) === JSON.stringify(argv)) return there.continued();
        throw new UserMistake(`${folder} is of another program: ${there.argv.join(' ')}`);
      }
      mkdirSync(folder, { recursive: true });
      const head: Head = { explore: 'softiommu', v: 1, argv };
      appendFileSync(file, `${JSON.stringify(head)}\n`, { flag: 'ax' });
      return new ResultsFolder(file, argv, []);
    });
  }
  /** One that is there. Throws UserMistake: it is none of ours. */
  static read(folder: string): ResultsFolder {
    return told(folder, () => {
      const file = join(folder, FILE);
      const [first = '', ...rest] = readFileSync(file, 'utf8').split('\n');
      const head = parsed<Partial<Head>>(first);
      if (head?.explore !== 'softiommu' || head.v !== 1 || !head.argv) {
        throw new UserMistake(`${file} is not of softiommu explore, or of another version`);
      }
      // The last line may have been cut by the end of the run that wrote it.
      const known = rest.flatMap((line) => parsed<TrialResult>(line) ?? []);
      return new ResultsFolder(file, head.argv, known);
    });
  }
  /** What is added begins a line, also behind one that was cut. */
  continued(): this {
    if (!readFileSync(this.#file, 'utf8').endsWith('\n')) appendFileSync(this.#file, '\n');
    return this;
  }
  add(result: TrialResult): void {
    told(this.#file, () => {
      appendFileSync(this.#file, `${JSON.stringify(result)}\n`);
    });
  }
}

function parsed<T>(line: string): T | undefined {
  try {
    // cast: we wrote it
    return JSON.parse(line) as T;
  } catch {
    return undefined;
  }
}
function told<T>(name: string, run: () => T): T {
  try {
    return run();
  } catch (error) {
    if (error instanceof UserMistake) throw error;
    throw new UserMistake(`${name}: ${systemReason(error)}`);
  }
}
