/** How many bytes programs have mapped in their address spaces: an IOAS of an iommufd, or a container of type 1. */
import type { LeaveEvent } from '../../base/events.ts';

/** What has become of one. */
interface Changed {
  /** 'IOAS 1 (process 7, fd 3)' */
  readonly name: string;
  readonly bytes: bigint;
}
/** What a command is about, and how many bytes more it maps. */
interface Change {
  /** 'IOAS 1', 'container' */
  readonly ioas: string;
  readonly bytes: unknown;
  readonly removes?: true;
}
type Values = Readonly<Record<string, unknown>>;

const ioas = (id: unknown): string => `IOAS ${Number(id)}`;
/** By command, from what it was asked and what came back. */
const CHANGES: Readonly<Record<string, (args: Values, after: Values) => Change>> = {
  IOMMU_IOAS_COPY: ({ dst_ioas_id, length }) => ({ ioas: ioas(dst_ioas_id), bytes: length }),
  IOMMU_IOAS_MAP: ({ ioas_id, length }) => ({ ioas: ioas(ioas_id), bytes: length }),
  IOMMU_IOAS_MAP_FILE: ({ ioas_id, length }) => ({ ioas: ioas(ioas_id), bytes: length }),
  IOMMU_IOAS_UNMAP: ({ ioas_id }, { length }) => ({
    ioas: ioas(ioas_id),
    bytes: length,
    removes: true,
  }),
  VFIO_IOMMU_MAP_DMA: ({ size, flags }) => ({
    ioas: 'container',
    bytes: String(flags).includes('VFIO_DMA_MAP_FLAG_VADDR') ? 0n : size,
  }),
  VFIO_IOMMU_UNMAP_DMA: ({ flags }, { size }) => ({
    ioas: 'container',
    bytes: String(flags).includes('VFIO_DMA_UNMAP_FLAG_VADDR') ? 0n : size,
    removes: true,
  }),
};

/** Follows the commands of all programs. */
export class MappedSizes {
  readonly #bytes = new Map<string, bigint>();

  /** Undefined: the call has mapped and unmapped nothing. */
  leave(event: LeaveEvent): Changed | undefined {
    const change = changeOf(event);
    if (!change || typeof change.bytes !== 'bigint' || change.bytes === 0n) return undefined;
    const name = `${change.ioas} (process ${event.pid}, fd ${event.fd})`;
    const before = this.#bytes.get(name) ?? 0n;
    const bytes = change.removes ? before - change.bytes : before + change.bytes;
    this.#bytes.set(name, bytes);
    return { name, bytes };
  }
}
/** Of a command that worked. */
function changeOf({ command = '', result, args = {}, after = {} }: LeaveEvent): Change | undefined {
  return result === 0 ? CHANGES[command]?.(args, after) : undefined;
}
