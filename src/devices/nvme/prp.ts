/** Data pointers that are lists of pages: PRP entries (vfio.md 6.2, devices.md 4.3). */
import type { DeviceDma, DmaPiece } from '../port.ts';
import { STATUS } from './status.ts';

const ENTRY = 8;

/** Where data is, or the status of a command whose pointer says nothing useful. */
export type Pieces = readonly DmaPiece[] | number;

/** What a pair of PRP entries is for. */
export interface Prp {
  readonly prp1: bigint;
  readonly prp2: bigint;
  /** Bytes of data, at least 1 and as many as one command may move. */
  readonly length: number;
  /** Bytes of a memory page. */
  readonly pageSize: number;
}

/** The pages of the data, neighbours as one piece. Lists are read; there are as many entries as the data needs. */
export function prpPieces(dma: DeviceDma, { prp1, prp2, length, pageSize }: Prp): Pieces {
  const offset = Number(prp1 & BigInt(pageSize - 1));
  if (offset % 4 !== 0) return STATUS.PRP_OFFSET;
  const pieces = [{ at: prp1, length: Math.min(length, pageSize - offset) }];
  const left = length - pieces[0]!.length;
  if (left === 0) return pieces;
  if (left > pageSize) return listed(dma, prp2, { pieces, left, pageSize });
  if ((prp2 & BigInt(pageSize - 1)) !== 0n) return STATUS.PRP_OFFSET;
  append(pieces, prp2, left);
  return pieces;
}

interface Rest {
  readonly pieces: DmaPiece[];
  left: number;
  readonly pageSize: number;
}

/** A list begins anywhere in a page; where it is longer than the page, its last entry there is the next page of it. */
function listed(dma: DeviceDma, list: bigint, rest: Rest): Pieces {
  const { pageSize, pieces } = rest;
  const low = BigInt(pageSize - 1);
  for (let at = list; rest.left > 0;) {
    const offset = Number(at & low);
    if (offset % ENTRY !== 0) return STATUS.PRP_OFFSET;
    const needed = Math.ceil(rest.left / pageSize);
    const here = Math.min(needed, (pageSize - offset) / ENTRY);
    const entries = new DataView(new ArrayBuffer(here * ENTRY));
    if (dma.read(at, new Uint8Array(entries.buffer))) return STATUS.DATA_TRANSFER;
    const isChained = here < needed;
    for (let n = 0; n < here; n++) {
      const entry = entries.getBigUint64(n * ENTRY, true);
      if ((entry & low) !== 0n) return STATUS.PRP_OFFSET;
      if (isChained && n === here - 1) {
        at = entry;
        break;
      }
      const length = Math.min(rest.left, pageSize);
      append(pieces, entry, length);
      rest.left -= length;
    }
  }
  return pieces;
}

function append(pieces: DmaPiece[], at: bigint, length: number): void {
  const last = pieces.at(-1)!;
  if (last.at + BigInt(last.length) === at) {
    pieces[pieces.length - 1] = { at: last.at, length: last.length + length };
  } else pieces.push({ at, length });
}
