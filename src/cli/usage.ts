/** What every command does with a command line it does not understand: say what is wrong, where help is, and end. */
import type { CommandUnknownOpts } from '@commander-js/extra-typings';
import { STATUS_FAILED } from '../host/sys/exit-status.ts';
import { STDERR, STDOUT, writeAll } from '../host/sys/write-all.ts';
import { isCounted } from './counted-options.ts';
import { collect } from './option-values.ts';

/** Give a command its messages for mistakes in the command line, and the status it ends with then. */
export function withUsage<C extends CommandUnknownOpts>(command: C, status = STATUS_FAILED): C {
  const name = () => namesOf(command).join(' ');
  command
    .configureOutput({
      writeOut: (text) => {
        writeAll(STDOUT, text);
      },
      writeErr: (text) => {
        writeAll(STDERR, text);
      },
      outputError: (text, write) => {
        write(`${text.replace(/^error: /, 'softiommu: ')}(${name()} --help shows what there is)\n`);
      },
    })
    .exitOverride(({ exitCode }) => process.exit(exitCode === 0 ? 0 : status));
  for (const option of command.options) {
    const addsUp = option.parseArg === collect || isCounted(option);
    if (!addsUp) onlyOnce(command, option.name(), option.flags);
  }
  return command;
}

/** What is written to reach it: softiommu, new, device. */
function namesOf(command: CommandUnknownOpts): string[] {
  if (command.parent) return [...namesOf(command.parent), command.name()];
  return command.name() === 'softiommu' ? ['softiommu'] : ['softiommu', command.name()];
}

/** The last of two would hold, and nobody could tell from the command line that the first one is void. */
function onlyOnce(command: CommandUnknownOpts, name: string, flags: string): void {
  let given = false;
  command.on(`option:${name}`, () => {
    if (given) command.error(`error: option '${flags}' is given twice`);
    given = true;
  });
}
