/** Commands of the admin queue by opcode (vfio.md 6.2, devices.md 4.4). */
import type { Command } from './command.ts';
import type { CommandTable, Context, CommandHandler } from './context.ts';
import { format } from './dataset.ts';
import { getFeatures, setFeatures } from './feature-commands.ts';
import { identify } from './identify.ts';
import { IO_COMMANDS } from './io-commands.ts';
import { getLogPage } from './log-pages.ts';
import {
  abort,
  createCompletionQueue,
  createSubmissionQueue,
  deleteCompletionQueue,
  deleteSubmissionQueue,
  doorbellBuffer,
} from './queue-commands.ts';
import { STATUS } from './status.ts';

const LOG_PAGE = 0x02;
const WITHOUT_LOGS: CommandTable = new Map<number, CommandHandler>([
  [0x00, deleteSubmissionQueue],
  [0x01, createSubmissionQueue],
  [0x04, deleteCompletionQueue],
  [0x05, createCompletionQueue],
  [0x06, identify],
  [0x08, abort],
  [0x09, setFeatures],
  [0x0a, getFeatures],
  [0x0c, asyncEventRequest],
  [0x7c, doorbellBuffer],
  [0x80, format],
]);

/** All of them. */
export const ADMIN_COMMANDS: CommandTable = new Map<number, CommandHandler>([
  ...WITHOUT_LOGS,
  [
    LOG_PAGE,
    getLogPage({ admin: [...WITHOUT_LOGS.keys(), LOG_PAGE], io: [...IO_COMMANDS.keys()] }),
  ],
]);

/** Held until something happens. */
function asyncEventRequest({ engine, events }: Context, command: Command): number | undefined {
  engine.hold(command);
  if (events.hold(command)) return undefined;
  engine.answer(command, STATUS.AER_LIMIT);
  return undefined;
}
