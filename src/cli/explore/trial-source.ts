/** Trials that are to be made, and what comes of them: by this process alone, or by several. */
import type { TrialFinding } from '../../insight/explore/judge.ts';

/** What came of a trial; this is what a folder keeps of it. */
export interface TrialResult {
  readonly expressions: readonly string[];
  readonly finding?: TrialFinding;
  /** Names of the calls of the run, where a second failure may be tried. */
  readonly calls?: readonly string[];
}
/** What a trial is known by. */
export function trialName(expressions: readonly string[]): string {
  return expressions.join(' ');
}
/** What a source of trials is given to do with them. */
export interface TrialWork {
  /** At once. */
  readonly jobs: number;
  /** Undefined: it was stopped on the way. */
  readonly make: (name: string) => Promise<TrialResult | undefined>;
  /** Told of each that is made, whoever has made it; again does not matter. */
  readonly made: (name: string, result: TrialResult) => void;
  readonly isOver: () => boolean;
}
/** Those who were to share the trials cannot be reached any more; the message says why. */
export class SourceGone extends Error {}

/** Who makes which trial. */
export interface TrialSource {
  /** Until all of them are made, or the work is over. Rejects with SourceGone. */
  share(names: readonly string[], work: TrialWork): Promise<void>;
}

/** This process makes them all. */
export const ALONE: TrialSource = {
  async share(names, { jobs, make, made, isOver }) {
    const next = names.values();
    const worker = async (): Promise<void> => {
      for (const name of next) {
        const result = isOver() ? undefined : await make(name);
        if (!result) return;
        made(name, result);
      }
    };
    await Promise.all(Array.from({ length: jobs }, worker));
  },
};
