/** What every command does with a command line it does not understand: say what is wrong, where help is, and end. */
import type { CommandUnknownOpts } from '@commander-js/extra-typings';
import { STDERR, STDOUT, writeAll } from '../host/sys/write-all.ts';

/** A fault of softiommu's own command line, as with docker run: other statuses are the program's. */
export const STATUS_FAILED = 125;

/** Options that add up: each may be given any number of times, the others once. */
const REPEATABLE = [
  ...['device', 'iommu', 'block', 'plugin'],
  ...['expression', 'trace-path', 'absolute-timestamps'],
];

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
    if (!REPEATABLE.includes(option.name())) onlyOnce(command, option.name(), option.flags);
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
