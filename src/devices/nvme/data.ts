/** The data of a command: where it is in memory, one transfer to it or from it (rule 4 of devices.md: a fault is a status). */
import type { DmaPiece } from '../port.ts';
import type { PlacedBytes } from '../unit/each.ts';
import type { Command } from './command.ts';
import type { Context } from './context.ts';
import { prpPieces } from './prp.ts';
import { addressed, sglPieces, type SglPiece } from './sgl.ts';
import { STATUS } from './status.ts';

/** A data pointer that has been followed. */
export type DataPlace =
  | { readonly kind: 'prp'; readonly pieces: readonly DmaPiece[] }
  | { readonly kind: 'sgl'; readonly pieces: readonly SglPiece[] };

/** Where `length` bytes are, at least 1; a status where the pointer is no good. `toHost`: they go there. */
export function dataPlace(
  { port, config, pageSize }: Context,
  command: Command,
  length: number,
  toHost: boolean,
): DataPlace | number {
  if (length > 4096 << config.mdts) return STATUS.INVALID_FIELD;
  const { prp1, prp2, psdt } = command;
  if (psdt === 0) {
    const pieces = prpPieces(port.dma, { prp1, prp2, length, pageSize });
    return typeof pieces === 'number' ? pieces : { kind: 'prp', pieces };
  }
  const pieces = sglPieces(port.dma, command.sgl, length, toHost);
  return typeof pieces === 'number' ? pieces : { kind: 'sgl', pieces };
}

/** Where bytes for the host go. */
export function placed(place: DataPlace, bytes: Uint8Array): PlacedBytes {
  if (place.kind === 'prp') return { pieces: place.pieces, bytes };
  const { pieces, data } = addressed(place.pieces, bytes);
  return { pieces, bytes: data };
}
/** Send, at once, the first bytes of a page that a command asks for; beyond its end are zeros. */
export function sendPage(
  context: Context,
  command: Command,
  page: Uint8Array,
  length = page.length,
): number {
  const place = dataPlace(context, command, length, true);
  if (typeof place === 'number') return place;
  const bytes = new Uint8Array(length);
  bytes.set(page.subarray(0, length));
  const { pieces, bytes: data } = placed(place, bytes);
  return context.port.dma.write(pieces, data) ? STATUS.DATA_TRANSFER : STATUS.SUCCESS;
}
/** A few bytes that a command brings, or a status. */
export function receiveBytes(
  context: Context,
  command: Command,
  length: number,
): Uint8Array | number {
  const pieces = piecesFrom(context, command, length);
  if (typeof pieces === 'number') return pieces;
  const bytes = new Uint8Array(length);
  return context.port.dma.read(pieces, bytes) ? STATUS.DATA_TRANSFER : bytes;
}
/** The command ends when they have come there; `done` before that, if they have. */
export function sendTo(
  { engine }: Context,
  command: Command,
  { place, bytes, done }: { place: DataPlace; bytes: Uint8Array; done?: () => void },
): void {
  engine.completeWith({ command, data: placed(place, bytes), done });
}
/** Go on with bytes that a command brings, which may be in a later turn. A status: the pointer is no good. */
export function withBytes(
  context: Context,
  command: Command,
  length: number,
  run: (bytes: Uint8Array) => number | undefined,
): number | undefined {
  const pieces = piecesFrom(context, command, length);
  if (typeof pieces === 'number') return pieces;
  context.engine.receive(command, pieces, (bytes) => {
    const status = bytes ? run(bytes) : STATUS.DATA_TRANSFER;
    if (status !== undefined) context.engine.complete(command, status);
  });
  return undefined;
}
/** Where the data is that a command brings. */
function piecesFrom(
  context: Context,
  command: Command,
  length: number,
): readonly DmaPiece[] | number {
  const place = dataPlace(context, command, length, false);
  if (typeof place === 'number') return place;
  // No bit bucket is in a list for data that the host sends.
  return place.pieces.map(({ at, length: bytes }) => ({ at: at!, length: bytes }));
}
