/** Creation and deletion of I/O queues (vfio.md 6.2; checks: devices.md 4.3), and Abort. */
import type { Command } from './command.ts';
import type { Context } from './context.ts';
import type { QueuePlace } from './queue.ts';
import { MOST_ENTRIES } from './registers.ts';
import { STATUS } from './status.ts';

/** CDW11 of both: the queue is in one piece; of a completion queue: it interrupts. */
const CONTIGUOUS = 1;
const INTERRUPTS = 2;

/** Where the queue would be; a status where it cannot be. */
function newPlace(
  { config, pageSize }: Context,
  command: Command,
  queues: ReadonlyMap<number, unknown>,
): QueuePlace | number {
  const id = command.dword(10) & 0xffff;
  const entries = (command.dword(10) >>> 16) + 1;
  if (id === 0 || id > config.queues || queues.has(id)) return STATUS.QUEUE_ID;
  if (entries < 2 || entries > MOST_ENTRIES) return STATUS.QUEUE_SIZE;
  if ((command.dword(11) & CONTIGUOUS) === 0) return STATUS.INVALID_FIELD;
  const base = command.prp1;
  if ((base & BigInt(pageSize - 1)) !== 0n) return STATUS.PRP_OFFSET;
  return { id, base, entries };
}

/** Create I/O Completion Queue. */
export function createCompletionQueue(context: Context, command: Command): number {
  const place = newPlace(context, command, context.engine.completions);
  if (typeof place === 'number') return place;
  const vector = command.dword(11) >>> 16;
  // There is a vector for each I/O queue, and that of the admin queue.
  if (vector > context.config.queues) return STATUS.VECTOR;
  const interrupts = (command.dword(11) & INTERRUPTS) !== 0;
  context.engine.addCompletionQueue(place, interrupts ? vector : undefined);
  return STATUS.SUCCESS;
}

/** Create I/O Submission Queue. */
export function createSubmissionQueue(context: Context, command: Command): number {
  const { engine } = context;
  const completions = engine.completions.get(command.dword(11) >>> 16);
  if (!completions || completions.place.id === 0) return STATUS.CQ_INVALID;
  const place = newPlace(context, command, engine.submissions);
  if (typeof place === 'number') return place;
  engine.addSubmissionQueue(place, completions);
  return STATUS.SUCCESS;
}

/** Delete I/O Submission Queue. */
export function deleteSubmissionQueue({ engine }: Context, command: Command): number {
  const queue = engine.submissions.get(command.dword(10) & 0xffff);
  if (!queue || queue.place.id === 0) return STATUS.QUEUE_ID;
  engine.deleteSubmissionQueue(queue);
  return STATUS.SUCCESS;
}

/** Delete I/O Completion Queue: after the submission queues that answer there. */
export function deleteCompletionQueue({ engine }: Context, command: Command): number {
  const queue = engine.completions.get(command.dword(10) & 0xffff);
  if (!queue || queue.place.id === 0) return STATUS.QUEUE_ID;
  if (queue.users > 0) return STATUS.DELETION_ORDER;
  engine.deleteCompletionQueue(queue);
  return STATUS.SUCCESS;
}

/** Abort: what waits for its backing, or for an event, ends at once. Its result says 1 where nothing was aborted. */
export function abort({ engine, events }: Context, command: Command): number {
  const [sqId, id] = [command.dword(10) & 0xffff, command.dword(10) >>> 16];
  const isMeant = (other: Command): boolean =>
    other !== command && other.id === id && other.sqId === sqId;
  const held = events.held.find(isMeant);
  const live = [...(engine.submissions.get(sqId)?.live ?? [])].find(isMeant);
  command.result = held || live ? 0 : 1;
  if (held) {
    events.release(held);
    engine.answer(held, STATUS.ABORTED);
  } else if (live) engine.complete(live, STATUS.ABORTED);
  return STATUS.SUCCESS;
}

/** Doorbell Buffer Config: one page for doorbells, one for the indexes to ring at. */
export function doorbellBuffer({ config, engine, pageSize }: Context, command: Command): number {
  if (!config.doorbellBuffer) return STATUS.INVALID_OPCODE;
  const { prp1: doorbells, prp2: events } = command;
  if (((doorbells | events) & BigInt(pageSize - 1)) !== 0n) return STATUS.INVALID_FIELD;
  engine.useShadow({ doorbells, events });
  return STATUS.SUCCESS;
}
