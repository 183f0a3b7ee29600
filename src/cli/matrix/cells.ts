/** The machines of a matrix: every combination of what the options name, each asked whether there can be one. */
import type { BackendName } from '../../machine/description/backend-names.ts';
import { openChoice, resolveMachine } from '../machine-file.ts';
import { UserMistake } from '../user-mistake.ts';

/** What is combined. */
export interface MatrixAxes {
  /** Undefined: the machine of a command without one. */
  readonly machines: readonly (string | undefined)[];
  readonly backends: readonly BackendName[];
  /** Undefined: the machine's own. */
  readonly kernels: readonly (string | undefined)[];
}
/** One machine to run on, or why there is none. */
export interface PlannedCell {
  readonly machine: string;
  readonly backend: BackendName;
  readonly kernel: string;
  /** Options of `run`. */
  readonly flags: readonly string[];
  readonly skipped?: string;
}

/**
 * The cells, kernels changing fastest. Rejects with UserMistake for a machine that cannot be by itself; one that only this
 * backend or this kernel makes impossible is a cell that is skipped.
 */
export async function planCells({
  machines,
  backends,
  kernels,
}: MatrixAxes): Promise<PlannedCell[]> {
  const cells: PlannedCell[] = [];
  for (const machine of machines) {
    const choice = await openChoice({ machine });
    const own = resolveMachine(choice, choice.known).kernel.version;
    for (const backend of backends) {
      for (const kernel of kernels) {
        const flags = [
          ...(machine === undefined ? [] : ['--machine', machine]),
          ...['--backend', backend],
          ...(kernel === undefined ? [] : ['--kernel', kernel]),
        ];
        const skipped = problemOf(() =>
          resolveMachine({ ...choice, backend, kernel }, choice.known),
        );
        cells.push({
          machine: machine ?? 'preset:default',
          backend,
          kernel: kernel ?? own,
          flags,
          ...(skipped !== undefined && { skipped }),
        });
      }
    }
  }
  return cells;
}
function problemOf(resolve: () => unknown): string | undefined {
  try {
    resolve();
    return undefined;
  } catch (error) {
    if (!(error instanceof UserMistake)) throw error;
    return error.message.replace(/^--\w+ \S+: /, '');
  }
}
