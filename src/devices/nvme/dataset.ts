/** Dataset management and format: ranges of blocks become zeros, and their space is given back (devices.md 4.4). */
import type { Status } from '../../base/errno.ts';
import { ENOSPC } from '../../base/errno.ts';
import type { BlockErrors, Completion } from '../host-services.ts';
import type { Command } from './command.ts';
import { namespaceOf, namespacesOf, type Context } from './context.ts';
import { withBytes } from './data.ts';
import { EVENT } from './events.ts';
import { FEATURE } from './feature-values.ts';
import { LBA_FORMATS, type LbaFormat, type Namespace } from './namespace.ts';
import { STATUS } from './status.ts';

/** Bytes of one range: attributes, blocks, the first. */
const RANGE = 16;
/** CDW11 */
const DEALLOCATE = 4;

interface Range {
  readonly first: number;
  readonly blocks: number;
}

/** Complete a command when all parts of it have ended. */
function allOf(context: Context, command: Command, parts: number): Completion {
  let left = parts;
  let worst: Status<BlockErrors>;
  return (rc) => {
    worst ??= rc;
    left--;
    if (left > 0) return;
    const failed = worst === ENOSPC ? STATUS.CAPACITY : STATUS.WRITE_FAULT;
    context.engine.complete(command, worst ? failed : STATUS.SUCCESS);
  };
}

/** Dataset management. Hints besides deallocation mean nothing here. */
export function deallocate(context: Context, command: Command): number | undefined {
  const namespace = namespaceOf(context, command);
  if (!namespace) return STATUS.INVALID_NAMESPACE;
  const count = (command.dword(10) & 0xff) + 1;
  return withBytes(context, command, count * RANGE, (bytes) =>
    deallocateRanges(context, command, namespace, rangesOf(bytes, count)),
  );
}
function deallocateRanges(
  context: Context,
  command: Command,
  namespace: Namespace,
  ranges: readonly Range[],
): number | undefined {
  if (!ranges.every(({ first, blocks }) => namespace.has(first, blocks))) return STATUS.LBA_RANGE;
  if ((command.dword(11) & DEALLOCATE) === 0) return STATUS.SUCCESS;
  if (namespace.isReadOnly) return STATUS.WRITE_PROTECTED;
  const done = allOf(context, command, ranges.length);
  for (const { first, blocks } of ranges) {
    namespace.unreadable.remove({ start: first, end: first + blocks });
    namespace.backing.zero(namespace.bytes(first), namespace.bytes(blocks), done);
  }
  return undefined;
}
function rangesOf(bytes: Uint8Array, count: number): Range[] {
  const words = new DataView(bytes.buffer, bytes.byteOffset);
  return Array.from({ length: count }, (_, n) => ({
    blocks: words.getUint32(n * RANGE + 4, true),
    first: Number(words.getBigUint64(n * RANGE + 8, true)),
  }));
}

/** Format NVM: everything zeros, and perhaps another block size. */
export function format(context: Context, command: Command): number | undefined {
  const namespaces = namespacesOf(context, command);
  if (namespaces.length === 0) return STATUS.INVALID_NAMESPACE;
  const settings = command.dword(10);
  const lbaFormat = settings & 15;
  const secureErase = (settings >>> 9) & 7;
  if (!isFormat(lbaFormat)) return STATUS.FORMAT;
  // No metadata, no protection; an erase of user data is one, a cryptographic one is not there.
  if ((settings & 0x1f0) !== 0 || secureErase > 1) return STATUS.INVALID_FIELD;
  if (namespaces.some(({ isReadOnly }) => isReadOnly)) return STATUS.WRITE_PROTECTED;
  const done = allOf(context, command, namespaces.length);
  for (const namespace of namespaces) erase(context, namespace, lbaFormat, done);
  return undefined;
}
function isFormat(n: number): n is LbaFormat {
  return n < LBA_FORMATS.length;
}
function erase(
  { health, events, features }: Context,
  namespace: Namespace,
  lbaFormat: LbaFormat,
  done: Completion,
): void {
  if (namespace.format !== lbaFormat) {
    namespace.format = lbaFormat;
    health.changed.add(namespace.id);
    events.happen(EVENT.NAMESPACE_CHANGED, features.get(FEATURE.EVENTS));
  }
  namespace.unreadable.clear();
  namespace.backing.zero(0n, namespace.backing.length, done);
}
