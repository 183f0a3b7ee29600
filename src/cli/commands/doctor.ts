/** `softiommu doctor`: what this host permits, one line each, with one remedy where something is missing. */
import { Command } from '@commander-js/extra-typings';
import { print, printJson } from '../output.ts';
import { withUsage } from '../usage.ts';

/** The command `doctor`; its status is 1 when something needed is missing. */
export function doctorCommand() {
  const command = new Command('doctor')
    .description('check what this host permits')
    .option('--json', 'answer as JSON')
    .action(async ({ json }) => {
      const { diagnose, formatDiagnosis } = await import('../../host/launch/doctor.ts');
      const lines = diagnose();
      if (json) printJson({ v: 1, diagnoses: lines });
      else print(`${lines.map(formatDiagnosis).join('\n')}\n`);
      process.exitCode = lines.some((line) => line.verdict === 'missing') ? 1 : 0;
    });
  return withUsage(command);
}
