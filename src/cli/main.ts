#!/usr/bin/env node
/**
 * User errors are one line; the exit status of `run` is the program's.
 *
 * Nearly everything is loaded only when there are descriptors for it: a loader without shows its own stack.
 */
import { STDERR, writeAll } from '../host/sys/write-all.ts';
import { tooFewDescriptors } from './descriptors.ts';

/** A fault of softiommu's own. */
const STATUS_FAILED = 125;

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
