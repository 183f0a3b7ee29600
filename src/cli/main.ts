#!/usr/bin/env node
/**
 * User errors are one line; the exit status of `run` is the program's.
 *
 * Nearly everything is loaded only when there are descriptors for it: a loader without shows its own stack.
 */
import { STATUS_FAILED } from '../host/sys/exit-status.ts';
import { hasGuestCode } from '../host/sys/sure-end.ts';
import { STDERR, writeAll } from '../host/sys/write-all.ts';
import { tooFewDescriptors } from './descriptors.ts';

async function main(): Promise<void> {
  try {
    const obstacle = tooFewDescriptors();
    if (obstacle !== undefined) throw new Error(obstacle);
    const { commandLine } = await import('./command-line.ts');
    const program = await commandLine(process.argv.slice(2));
    await program.parseAsync();
  } catch (error) {
    const text = error instanceof Error ? error.message : String(error);
    writeAll(STDERR, `softiommu: ${text}\n`);
    process.exitCode = STATUS_FAILED;
  }
  // What a plugin has left running does not keep a command from ending.
  if (hasGuestCode()) process.exit();
}

void main();
