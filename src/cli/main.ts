#!/usr/bin/env node
/** User errors are one line; the exit status of `run` is the program's. */
import { commandLine } from './command-line.ts';
import { complain } from './output.ts';
import { STATUS_FAILED } from './usage.ts';

try {
  await commandLine().parseAsync();
} catch (error) {
  const text = error instanceof Error ? error.message : String(error);
  complain(text);
  process.exitCode = STATUS_FAILED;
}
