/** `softiommu report TRACE`: a trace as one page to look at. */
import { Command } from '@commander-js/extra-typings';
import { print } from '../output.ts';
import { withUsage } from '../usage.ts';

/** The command `report`. */
export function reportCommand() {
  const command = new Command('report')
    .description('make a page of a trace: one file of HTML that needs nothing else')
    .argument('<trace>', 'what `run --trace=FILE.jsonl` has written')
    .option('-o, --output <file>', 'where the page goes; default: beside the trace, as .html')
    .action(async (trace, { output = `${trace.replace(/\.jsonl$/, '')}.html` }) => {
      const { reportOfTrace } = await import('../reports/trace-report.ts');
      const events = reportOfTrace(trace, output);
      print(`${output}: ${events} events\n`);
    });
  return withUsage(command);
}
