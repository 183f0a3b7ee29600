/** Commands of I/O queues (vfio.md 6.2, devices.md 4.4): read, write, flush, compare, write zeroes and their like. */
import type { Status } from '../../base/errno.ts';
import { ENOSPC } from '../../base/errno.ts';
import type { BlockErrors, Completion } from '../host-services.ts';
import type { Command } from './command.ts';
import {
  namespaceOf,
  namespacesOf,
  type CommandTable,
  type Context,
  type CommandHandler,
} from './context.ts';
import { dataPlace, sendTo, withBytes } from './data.ts';
import { deallocate } from './dataset.ts';
import type { Namespace } from './namespace.ts';
import { STATUS } from './status.ts';

/** CDW12 of writes: not done before it is durable. */
const FORCE_UNIT_ACCESS = 1 << 30;
/** Bytes looked at in one go by a command that moves none. */
const CHUNK = 0x2_0000;

/** A command on blocks that there are. */
interface OnBlocks {
  readonly context: Context;
  readonly command: Command;
  readonly namespace: Namespace;
  /** On the backing. */
  readonly at: bigint;
  readonly length: number;
}

/** By opcode. */
export const IO_COMMANDS: CommandTable = new Map<number, CommandHandler>([
  [0x00, flush],
  [0x01, onBlocks(write, 'changes')],
  [0x02, onBlocks(read, 'reads')],
  [0x04, onBlocks(writeUncorrectable, 'changes')],
  [0x05, onBlocks(compare, 'reads')],
  [0x08, onBlocks(writeZeroes, 'changes')],
  [0x09, deallocate],
  [0x0c, onBlocks(verify, 'reads')],
]);

/** What every such command has in common: a namespace, blocks inside of it, and the right to change or read them. */
function onBlocks(
  run: (on: OnBlocks) => number | undefined,
  kind: 'reads' | 'changes',
): CommandHandler {
  return (context, command) => {
    const namespace = namespaceOf(context, command);
    if (!namespace) return STATUS.INVALID_NAMESPACE;
    const { slba, blocks } = command;
    if (!namespace.has(slba, blocks)) return STATUS.LBA_RANGE;
    if (kind === 'changes' && namespace.isReadOnly) return STATUS.WRITE_PROTECTED;
    const range = { start: slba, end: slba + blocks };
    if (kind === 'reads' && namespace.unreadable.touches(range)) {
      context.health.counters.mediaErrors++;
      return STATUS.UNRECOVERED_READ;
    }
    const length = blocks * 2 ** namespace.blockLg2;
    return run({ context, command, namespace, at: namespace.bytes(slba), length });
  };
}

/** Complete a command with what became of work on the backing. */
function ending({ context, command }: OnBlocks, failed: number, then?: () => void): Completion {
  return (rc) => {
    if (!context.engine.isLive(command)) return;
    if (rc) context.engine.complete(command, mediaStatus(context, rc, failed));
    else if (then) then();
    else context.engine.complete(command, STATUS.SUCCESS);
  };
}
/** A full disk, or an error of the medium. */
function mediaStatus(context: Context, rc: Status<BlockErrors>, failed: number): number {
  if (rc === ENOSPC) return STATUS.CAPACITY;
  context.health.counters.mediaErrors++;
  return failed;
}

function read(on: OnBlocks): undefined | number {
  const { context, command, namespace, at, length } = on;
  const place = dataPlace(context, command, length, true);
  if (typeof place === 'number') return place;
  const { counters } = context.health;
  counters.reads++;
  counters.blocksRead += length / 512;
  const bytes = new Uint8Array(length);
  context.engine.spend(length);
  const sendOn = (): void => sendTo(context, command, { place, bytes });
  namespace.backing.read(at, bytes, ending(on, STATUS.UNRECOVERED_READ, sendOn));
  return undefined;
}

function write(on: OnBlocks): undefined | number {
  const { context, command, namespace, at, length } = on;
  return withBytes(context, command, length, (bytes) => {
    const { counters } = context.health;
    counters.writes++;
    counters.blocksWritten += length / 512;
    namespace.backing.write(at, bytes, changed(on));
    return undefined;
  });
}

/** The blocks have new contents: they can be read, and are durable if they must be. */
function changed(on: OnBlocks): Completion {
  const { context, command, namespace } = on;
  const { slba, blocks } = command;
  const isThrough = !context.features.cachesWrites || (command.dword(12) & FORCE_UNIT_ACCESS) !== 0;
  return ending(on, STATUS.WRITE_FAULT, () => {
    namespace.unreadable.remove({ start: slba, end: slba + blocks });
    if (isThrough) namespace.backing.flush(ending(on, STATUS.WRITE_FAULT));
    else context.engine.complete(command, STATUS.SUCCESS);
  });
}

function writeZeroes(on: OnBlocks): undefined {
  on.namespace.backing.zero(on.at, BigInt(on.length), changed(on));
}

function writeUncorrectable({ command, namespace }: OnBlocks): number {
  const { slba, blocks } = command;
  namespace.unreadable.add({ start: slba, end: slba + blocks });
  return STATUS.SUCCESS;
}

function compare(on: OnBlocks): undefined | number {
  const { context, command, namespace, at, length } = on;
  return withBytes(context, command, length, (expected) => {
    const bytes = new Uint8Array(length);
    const look = (): void => {
      const isEqual = expected.every((byte, n) => byte === bytes[n]);
      context.engine.complete(command, isEqual ? STATUS.SUCCESS : STATUS.COMPARE);
    };
    namespace.backing.read(at, bytes, ending(on, STATUS.UNRECOVERED_READ, look));
    return undefined;
  });
}

/** Read and thrown away, a chunk in each turn. */
function verify(on: OnBlocks): undefined {
  const { context, command, namespace, at, length } = on;
  const bytes = new Uint8Array(Math.min(length, CHUNK));
  let done = 0;
  const next = (): void => {
    if (!context.engine.isLive(command)) return;
    const here = bytes.subarray(0, Math.min(length - done, CHUNK));
    const from = at + BigInt(done);
    done += here.length;
    const go = (): void => void context.port.clock.after(0, next);
    namespace.backing.read(
      from,
      here,
      ending(on, STATUS.UNRECOVERED_READ, done < length ? go : undefined),
    );
  };
  next();
}

/** Of one namespace, or of all. */
function flush(context: Context, command: Command): undefined | number {
  const namespaces = namespacesOf(context, command);
  if (namespaces.length === 0) return STATUS.INVALID_NAMESPACE;
  let left = namespaces.length;
  let worst: number = STATUS.SUCCESS;
  const done: Completion = (rc) => {
    if (rc) worst = mediaStatus(context, rc, STATUS.WRITE_FAULT);
    left--;
    if (left === 0) context.engine.complete(command, worst);
  };
  for (const { backing } of namespaces) backing.flush(done);
  return undefined;
}
