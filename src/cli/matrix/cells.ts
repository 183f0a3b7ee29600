/** The machines of a matrix: every combination of what the options name, each asked whether there can be one. */
import type { BackendName } from '../../machine/description/backend-names.ts';
import { withBackend } from '../../machine/description/backends.ts';
import type { MachineDescription } from '../../machine/description/description.ts';
import { versionNote } from '../../machine/description/releases.ts';
import { openChoice, resolveMachine } from '../machine-file.ts';
import { complain } from '../output.ts';

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
 * backend or this kernel makes impossible is a cell that is skipped. A kernel that is not known by its version is told of.
 */
export async function planCells({ machines, ...axes }: MatrixAxes): Promise<PlannedCell[]> {
  const cells: PlannedCell[] = [];
  for (const machine of machines) {
    const choice = await openChoice({ machine });
    cells.push(...cellsOf(machine, resolveMachine(choice, choice.known), axes));
  }
  for (const version of axes.kernels) {
    const note = version === undefined ? undefined : versionNote({ version });
    if (note !== undefined) complain(note);
  }
  return cells;
}
function cellsOf(
  machine: string | undefined,
  own: MachineDescription,
  { backends, kernels }: Omit<MatrixAxes, 'machines'>,
): PlannedCell[] {
  return backends.flatMap((backend) =>
    kernels.map((kernel) => {
      const version = kernel ?? own.kernel.version;
      const changed = withBackend({ ...own, kernel: { ...own.kernel, version } }, backend);
      return {
        machine: machine ?? 'preset:default',
        backend,
        kernel: version,
        flags: [
          ...(machine === undefined ? [] : ['--machine', machine]),
          ...['--backend', backend],
          ...(kernel === undefined ? [] : ['--kernel', kernel]),
        ],
        ...('problem' in changed && { skipped: changed.problem }),
      };
    }),
  );
}
