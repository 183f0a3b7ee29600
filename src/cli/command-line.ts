/** The command line as a whole: a table of commands. */
import { readFileSync } from 'node:fs';
import { Command } from '@commander-js/extra-typings';
import { doctorCommand } from './commands/doctor.ts';
import { runCommand } from './commands/run.ts';
import { testAttachCommand } from './commands/test-attach.ts';
import { topologyCommand } from './commands/topology.ts';
import { withUsage } from './usage.ts';

const packageFile = new URL('../../package.json', import.meta.url);

function version(): string {
  try {
    // cast: npm has read it too
    return (JSON.parse(readFileSync(packageFile, 'utf8')) as { version?: string }).version ?? '0';
  } catch {
    return 'unknown'; // run from an unusual place
  }
}

/** `softiommu` and its commands; each may be parsed once. */
export function commandLine(): Command {
  const program = withUsage(
    new Command('softiommu')
      .description('The Linux IOMMU subsystem in user space')
      .version(version())
      .enablePositionalOptions(),
  );
  program.addCommand(runCommand());
  program.addCommand(topologyCommand());
  program.addCommand(testAttachCommand());
  program.addCommand(doctorCommand());
  return program;
}
