/** `softiommu merge FOLDER…`: what several explorations of one program found, each finding once. */
import { Command } from '@commander-js/extra-typings';
import { STATUS_FOUND } from '../../host/sys/exit-status.ts';
import {
  baselineOption,
  foundText,
  htmlOption,
  junitOption,
  Reports,
  trialsJsonOption,
  writeBaselineOption,
} from '../explore/options.ts';
import { joined, ResultsFolder } from '../explore/results-folder.ts';
import { printable } from '../../machine/description/wording.ts';
import { UserMistake } from '../user-mistake.ts';
import { withUsage } from '../usage.ts';

/** The command `merge`; its status is 1 when something was found that no baseline has. */
export function mergeCommand() {
  const command = new Command('merge')
    .description('join the results of several explorations of one program')
    .argument('<folder...>', 'folders of explore --resume')
    .addOption(baselineOption())
    .addOption(writeBaselineOption())
    .addOption(junitOption())
    .addOption(htmlOption())
    .addOption(trialsJsonOption())
    .action((names, options) => {
      const folders = names.map((name) => ResultsFolder.read(name));
      const [words = []] = folders.map((folder) => folder.words);
      const other = folders.findIndex((one) => one.words.join('\0') !== words.join('\0'));
      if (other > 0)
        throw new UserMistake(
          `${printable(names[other]!)} is of another program than ${printable(names[0]!)}`,
        );
      const reports = new Reports(options);
      const trials = joined(folders.map(({ known }) => known));
      const fresh = reports.tell({
        words,
        results: trials,
        counts: {
          text: (found) =>
            `${folders.length} ${folders.length === 1 ? 'exploration' : 'explorations'}, ${trials.length} failures tried: ${foundText(found)}`,
          data: { explorations: folders.length, tried: trials.length },
        },
      });
      if (fresh > 0) process.exitCode = STATUS_FOUND;
    });
  return withUsage(command);
}
