/** What every command does with a command line it does not understand: say what is wrong, where help is, and end. */
import type { CommandUnknownOpts } from '@commander-js/extra-typings';

/** A fault of softiommu's own command line, as with docker run: other statuses are the program's. */
export const STATUS_FAILED = 125;

/** Give a command its messages for mistakes in the command line, and the status it ends with then. */
export function withUsage<C extends CommandUnknownOpts>(command: C, status = STATUS_FAILED): C {
  const name = command.name() === 'softiommu' ? 'softiommu' : `softiommu ${command.name()}`;
  command
    .configureOutput({
      outputError: (text, write) => {
        write(text.replace(/^error: /, 'softiommu: '));
      },
    })
    .showHelpAfterError(`(${name} --help shows what there is)`)
    .exitOverride(({ exitCode }) => process.exit(exitCode === 0 ? 0 : status));
  return command;
}
