/** The ioctls that map and unmap, by their decoded arguments: of iommufd and of VFIO's containers. */
import type { LeaveEvent } from '../../base/events.ts';
import { U64_MAX } from '../../base/u64.ts';
import type { MappingRights } from './mapping-calls.ts';

/** What a call asked for, and what came of it. */
export interface AskedRange {
  readonly what: 'map' | 'unmap';
  readonly space: string;
  /** Where it was mapped; undefined: the kernel was to choose, and has not. */
  readonly iova: bigint | undefined;
  /** Bytes asked for. */
  readonly length: bigint;
  /** Bytes done. */
  readonly done: bigint;
  readonly va: bigint | undefined;
  readonly rights: MappingRights;
  /** The call named no range: all that is there. */
  readonly isAll: boolean;
}

type Args = Readonly<Record<string, unknown>>;
type Reader = (args: Args, after: Args, file: string) => AskedRange;

/** Commands whose place in the program is kept. */
export const MAPPING_COMMANDS: Readonly<Record<string, Reader>> = {
  IOMMU_IOAS_MAP: (args, after, file) => mapping(args, after, file, 'user_va'),
  IOMMU_IOAS_MAP_FILE: (args, after, file) => mapping(args, after, file, undefined),
  IOMMU_IOAS_UNMAP: (args, after, file) =>
    unmapping(args, after, { space: ioasOf(file, args), name: 'length' }),
  VFIO_IOMMU_MAP_DMA: (args, _after, file) => ({
    what: 'map',
    space: containerOf(file),
    iova: big(args['iova']),
    length: big(args['size']),
    done: big(args['size']),
    va: big(args['vaddr']),
    rights: {
      read: has(args, 'VFIO_DMA_MAP_FLAG_READ'),
      write: has(args, 'VFIO_DMA_MAP_FLAG_WRITE'),
    },
    isAll: false,
  }),
  VFIO_IOMMU_UNMAP_DMA: (args, after, file) =>
    unmapping(args, after, { space: containerOf(file), name: 'size' }),
};

/** Undefined: the call is none of them, or its arguments could not be read. */
export function askedRange({
  command = '',
  args,
  after,
  file = '',
}: LeaveEvent): AskedRange | undefined {
  return args && MAPPING_COMMANDS[command]?.(args, after ?? args, file);
}

function mapping(args: Args, after: Args, file: string, va: string | undefined): AskedRange {
  const iova = big(has(args, 'IOMMU_IOAS_MAP_FIXED_IOVA') ? args['iova'] : after['iova']);
  const length = big(args['length']);
  return {
    what: 'map',
    space: ioasOf(file, args),
    iova,
    ...{ length, done: length },
    va: va === undefined ? undefined : big(args[va]),
    rights: {
      read: has(args, 'IOMMU_IOAS_MAP_READABLE'),
      write: has(args, 'IOMMU_IOAS_MAP_WRITEABLE'),
    },
    isAll: false,
  };
}
function unmapping(
  args: Args,
  after: Args,
  { space, name }: { readonly space: string; readonly name: string },
): AskedRange {
  const [iova, length] = [big(args['iova']), big(args[name])];
  const isAll = has(args, 'VFIO_DMA_UNMAP_FLAG_ALL') || length === U64_MAX;
  const none = { va: undefined, rights: { read: false, write: false } };
  return { what: 'unmap', space, iova, length, done: big(after[name]), isAll, ...none };
}
function ioasOf(file: string, { ioas_id }: Args): string {
  return `${file} ${String(ioas_id)}`;
}
function containerOf(file: string): string {
  return `${file} container`;
}
function big(value: unknown): bigint {
  return typeof value === 'bigint' ? value : BigInt(Number(value));
}
/** Flags are their names, with a bar between. */
function has({ flags }: Args, name: string): boolean {
  return typeof flags === 'string' && flags.split('|').includes(name);
}
