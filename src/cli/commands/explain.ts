/** `softiommu explain ERRNO|WORDS`: what an errno can mean, or which rule says so. */
import { Command } from '@commander-js/extra-typings';
import { errnoOfNumber, ERRNO_NUMBERS } from '../../base/errno.ts';
import { lookUp, type KnownRefusal } from '../../insight/explain/reference.ts';
import { knownRefusals } from '../known-refusals.ts';
import { print } from '../output.ts';
import { withUsage } from '../usage.ts';

/** '22' as 'EINVAL'; words as they are. */
function nameOf(what: string): string {
  const number = /^-?\d+$/.test(what) ? Math.abs(Number(what)) : undefined;
  const named = number === undefined ? undefined : errnoOfNumber(number);
  return named?.name ?? what;
}

function text(found: readonly KnownRefusal[], what: string): string {
  const number = Object.entries(ERRNO_NUMBERS).find(([name]) => name === what)?.[1];
  const head = number === undefined ? `'${what}'` : `${what} (${number})`;
  const lines = [`${head}: ${found.length} ${found.length === 1 ? 'rule' : 'rules'}`];
  for (const file of new Set(found.map((one) => one.file))) {
    lines.push('', file);
    for (const { errno, rule } of found.filter((one) => one.file === file)) {
      lines.push(number === undefined ? `  ${errno.padEnd(10)} ${rule}` : `  ${rule}`);
    }
  }
  return `${lines.join('\n')}\n`;
}

/** The command `explain`. */
export function explainCommand() {
  const command = new Command('explain')
    .description('say which rules refuse with an errno, or look for words in the rules')
    .argument('<what...>', 'an errno, by name or number, or words of a rule')
    .option('--in <area>', 'only of a part of the kernel: iommufd, vfio, core, machine, …')
    .action((words, options) => {
      const what = nameOf(words.join(' '));
      const all = knownRefusals();
      const areas = [...new Set(all.map((one) => one.area))];
      const { in: area } = options;
      if (area !== undefined && !areas.includes(area)) {
        command.error(`error: there is no part '${area}'; there are: ${areas.join(', ')}`);
      }
      const found = lookUp(all, what).filter((one) => area === undefined || one.area === area);
      if (found.length === 0) {
        const where = area === undefined ? '' : ` of ${area}`;
        command.error(`error: no rule${where} refuses with '${what}', and none has these words`);
      }
      print(text(found, what));
    });
  return withUsage(command);
}
