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
/** To the host: a status. */
export function send({ port }: Context, place: DataPlace, bytes: Uint8Array): number {
  const { pieces, bytes: data } = placed(place, bytes);
  return port.dma.write(pieces, data) ? STATUS.DATA_TRANSFER : STATUS.SUCCESS;
}
/** From the host: a status. */
export function receive({ port }: Context, place: DataPlace, into: Uint8Array): number {
  // No bit bucket is in a list for data that the host sends.
  const pieces = place.pieces.map(({ at, length }) => ({ at: at!, length }));
  return port.dma.read(pieces, into) ? STATUS.DATA_TRANSFER : STATUS.SUCCESS;
}

/** Send the first bytes of a page that a command asks for; beyond its end are zeros. */
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
  return send(context, place, bytes);
}
/** Bytes that a command brings, or a status. */
export function receiveBytes(
  context: Context,
  command: Command,
  length: number,
): Uint8Array | number {
  const place = dataPlace(context, command, length, false);
  if (typeof place === 'number') return place;
  const bytes = new Uint8Array(length);
  const status = receive(context, place, bytes);
  return status === STATUS.SUCCESS ? bytes : status;
}
