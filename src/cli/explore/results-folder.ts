/** The folder of an exploration: one line for each trial, so that it can go on, and be joined with others. */
import { appendFileSync, existsSync, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { printable } from '../../machine/description/wording.ts';
import { systemReason } from '../../host/sys/system-reason.ts';
import { UserMistake } from '../user-mistake.ts';
import { trialName, type TrialResult } from './trial-source.ts';

const FILE = 'results.jsonl';
/** The first line: whose trials these are. */
interface Head {
  readonly explore: 'softiommu';
  readonly v: 1;
  readonly words: readonly string[];
}

/** Trials of one program, and where further ones are written. */
export class ResultsFolder {
  readonly words: readonly string[];
  readonly known: readonly TrialResult[];
  readonly #file: string;

  private constructor(file: string, words: readonly string[], known: readonly TrialResult[]) {
    this.#file = file;
    this.words = words;
    this.known = known;
  }
  /** One that is there, or a new one. Throws UserMistake: it is of another program, or cannot be used. */
  static open(folder: string, words: readonly string[]): ResultsFolder {
    return told(folder, () => {
      const file = join(folder, FILE);
      if (existsSync(file)) {
        const there = ResultsFolder.read(folder);
        if (JSON.stringify(there.words) === JSON.stringify(words)) return there.continued();
        throw new UserMistake(
          `${printable(folder)} is of another program or machine: ${printable(there.words.join(' '))}`,
        );
      }
      mkdirSync(folder, { recursive: true });
      const head: Head = { explore: 'softiommu', v: 1, words };
      appendFileSync(file, `${JSON.stringify(head)}\n`, { flag: 'ax' });
      return new ResultsFolder(file, words, []);
    });
  }
  /** One that is there. Throws UserMistake: it is none of ours. */
  static read(folder: string): ResultsFolder {
    return told(folder, () => {
      const file = join(folder, FILE);
      if (existsSync(folder) && !existsSync(file)) {
        throw new UserMistake(
          `${printable(folder)} holds no results: softiommu explore --resume FOLDER keeps them there`,
        );
      }
      const [first = '', ...rest] = readFileSync(file, 'utf8').split('\n');
      // cast: it is looked at next
      const head = parsed(first) as Partial<Head> | undefined;
      if (head?.explore !== 'softiommu' || head.v !== 1 || !head.words) {
        throw new UserMistake(
          `${printable(file)} is not of softiommu explore, or of another version`,
        );
      }
      // The last line may have been cut by the end of the run that wrote it.
      const known = rest.flatMap((line) => {
        // cast: lines behind our head are ours
        const result = parsed(line) as TrialResult | undefined;
        return result ?? [];
      });
      return new ResultsFolder(file, head.words, known);
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

/** Each trial once; where it was made several times, as it was found to be wrong. */
export function joined(parts: readonly (readonly TrialResult[])[]): TrialResult[] {
  const trials = new Map<string, TrialResult>();
  for (const one of parts.flat()) {
    const name = trialName(one.expressions);
    if (!trials.get(name)?.finding) trials.set(name, one);
  }
  return [...trials.values()];
}

function parsed(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return undefined;
  }
}
function told<T>(name: string, run: () => T): T {
  try {
    return run();
  } catch (error) {
    if (error instanceof UserMistake) throw error;
    throw new UserMistake(`${printable(name)}: ${systemReason(error)}`);
  }
}
