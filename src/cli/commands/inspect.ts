/** `softiommu inspect -- PROGRAM`: `run`, and the page of the run while it goes on. */
import { portOption } from '../inspect/inspect-option.ts';
import { withUsage } from '../usage.ts';
import { commandOfRuns, runAsAsked } from './run.ts';

const DESCRIPTION = 'run a program as `run` does, and show the page of --report meanwhile';
/** Why a number is no answer to which run (docs/inspect.md). */
const BEGUN =
  'a run is shown from its start only, for what it keeps no trace of is gone: softiommu inspect -- PROGRAM';

/** The command `inspect`; its status is the program's. */
export function inspectCommand() {
  const command = commandOfRuns('inspect', DESCRIPTION, async (argv, options) => {
    const [first = ''] = argv;
    if (argv.length === 1 && /^\d+$/.test(first)) command.error(`error: ${first}: ${BEGUN}`);
    await runAsAsked(argv, { ...options, inspect: options.inspect ?? command.opts().port ?? 0 });
  }).addOption(portOption());
  command.options.find(({ long }) => long === '--inspect')?.hideHelp();
  return withUsage(command);
}
