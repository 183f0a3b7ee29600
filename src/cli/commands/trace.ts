/** `softiommu trace FILE`: a trace that `run --trace=FILE.jsonl` has written, in other forms and in parts. */
import { Command, Option } from '@commander-js/extra-typings';
import { TRACE_FORMS } from '../../insight/trace/choice.ts';
import { countRepeated, withCounts } from '../counted-options.ts';
import {
  constantsOption,
  expressionOption,
  failedOption,
  hexOption,
  noAbbrevOption,
  pathOption,
  quietOption,
  relativeOption,
  separatelyOption,
  sortOption,
  spentOption,
  stackOption,
  stringLimitOption,
  successfulOption,
  summaryOnlyOption,
  summaryOption,
  timestampsOption,
  wallClockOption,
  traceChoiceOf,
} from '../trace-options.ts';
import { withUsage } from '../usage.ts';

/** The command `trace`. */
export function traceCommand() {
  const command = new Command('trace')
    .description('show a trace, or a part of it, in another form')
    .argument(
      '<file>',
      'a trace as JSON lines, written by run --trace=FILE.jsonl; - is standard input',
    )
    .addOption(
      new Option('--as <form>', 'the form it is shown in')
        .choices(TRACE_FORMS)
        .default('text' as const),
    )
    .addOption(new Option('-o, --output <file>', 'write it to a new file'))
    .addOption(expressionOption())
    .addOption(pathOption())
    .addOption(successfulOption())
    .addOption(failedOption())
    .addOption(timestampsOption())
    .addOption(relativeOption())
    .addOption(spentOption())
    .addOption(stackOption())
    .addOption(stringLimitOption())
    .addOption(noAbbrevOption())
    .addOption(hexOption())
    .addOption(constantsOption())
    .addOption(quietOption())
    .addOption(separatelyOption())
    .addOption(summaryOnlyOption())
    .addOption(summaryOption())
    .addOption(sortOption())
    .addOption(wallClockOption())
    .action(async (file, options) => {
      const choice = traceChoiceOf(withCounts(command, options));
      const { showTrace } = await import('../show-trace.ts');
      await showTrace({ file, form: options.as, output: options.output, choice });
    });
  countRepeated(command);
  return withUsage(command);
}
