#!/usr/bin/env node
/** The command line: a table of commands. User errors are one line; the exit status of `run` is the program's. */
import { readFileSync } from 'node:fs';
import { Command } from '@commander-js/extra-typings';
import { doctorCommand } from './commands/doctor.ts';
import { runCommand } from './commands/run.ts';
import { testAttachCommand } from './commands/test-attach.ts';
import { topologyCommand } from './commands/topology.ts';
import { complain } from './output.ts';
import { STATUS_FAILED, withUsage } from './usage.ts';

const packageFile = new URL('../../package.json', import.meta.url);

function version(): string {
  try {
    // cast: npm has read it too
    return (JSON.parse(readFileSync(packageFile, 'utf8')) as { version?: string }).version ?? '0';
  } catch {
    return 'unknown'; // run from an unusual place
  }
}

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

try {
  await program.parseAsync();
} catch (error) {
  const text = error instanceof Error ? error.message : String(error);
  complain(text);
  process.exitCode = STATUS_FAILED;
}
