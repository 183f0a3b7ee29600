/** The ioctls that map and unmap, by their decoded arguments: of iommufd and of VFIO's containers. */
import type { LeaveEvent } from '../../base/events.ts';
import { U64_MAX } from '../../base/u64.ts';
import { hasFlag, type CallArgs } from './call-args.ts';
import type { MappingRights } from './mapping-call.ts';

/** What a call asked for, and what came of it. */
export interface AskedRange {
  readonly what: 'map' | 'unmap';
  readonly space: string;
  /** Of a copy: what it shows. */
  readonly source?: { readonly space: string; readonly iova: bigint };
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

type Reader = (args: CallArgs, after: CallArgs, file: string) => AskedRange | undefined;

/** Commands whose place in the program is kept. */
export const MAPPING_COMMANDS: Readonly<Record<string, Reader>> = {
  IOMMU_IOAS_MAP: (args, after, file) => mapping(args, after, file, 'user_va'),
  IOMMU_IOAS_MAP_FILE: (args, after, file) => mapping(args, after, file, undefined),
  IOMMU_IOAS_COPY: (args, after, file) => ({
    what: 'map',
    space: `${file} ${String(args['dst_ioas_id'])}`,
    source: {
      space: `${file} ${String(args['src_ioas_id'])}`,
      iova: big(args['src_iova']),
    },
    iova: fixedIova(args, after, 'dst_iova'),
    ...lengths(big(args['length'])),
    va: undefined,
    rights: rightsOf(args),
    isAll: false,
  }),
  IOMMU_IOAS_UNMAP: (args, after, file) =>
    unmapping(args, after, { space: ioasOf(file, args), name: 'length' }),
  VFIO_IOMMU_MAP_DMA: (args, _after, file) => {
    // What is mapped stays mapped: it is told where its memory is in another process.
    if (hasFlag(args, 'VFIO_DMA_MAP_FLAG_VADDR')) return undefined;
    return {
      what: 'map',
      space: containerOf(file),
      iova: big(args['iova']),
      ...lengths(big(args['size'])),
      va: big(args['vaddr']),
      rights: {
        read: hasFlag(args, 'VFIO_DMA_MAP_FLAG_READ'),
        write: hasFlag(args, 'VFIO_DMA_MAP_FLAG_WRITE'),
      },
      isAll: false,
    };
  },
  VFIO_IOMMU_UNMAP_DMA: (args, after, file) =>
    hasFlag(args, 'VFIO_DMA_UNMAP_FLAG_VADDR')
      ? undefined
      : unmapping(args, after, { space: containerOf(file), name: 'size' }),
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

function mapping(
  args: CallArgs,
  after: CallArgs,
  file: string,
  va: string | undefined,
): AskedRange {
  return {
    what: 'map',
    space: ioasOf(file, args),
    iova: fixedIova(args, after, 'iova'),
    ...lengths(big(args['length'])),
    va: va === undefined ? undefined : big(args[va]),
    rights: rightsOf(args),
    isAll: false,
  };
}
/** Given, or chosen by the kernel. */
function fixedIova(args: CallArgs, after: CallArgs, name: string): bigint {
  return big(hasFlag(args, 'IOMMU_IOAS_MAP_FIXED_IOVA') ? args[name] : after[name]);
}
function rightsOf(args: CallArgs): MappingRights {
  return {
    read: hasFlag(args, 'IOMMU_IOAS_MAP_READABLE'),
    write: hasFlag(args, 'IOMMU_IOAS_MAP_WRITEABLE'),
  };
}
/** All that was asked for is done, or nothing. */
function lengths(length: bigint): Pick<AskedRange, 'length' | 'done'> {
  return { length, done: length };
}
function unmapping(
  args: CallArgs,
  after: CallArgs,
  { space, name }: { readonly space: string; readonly name: string },
): AskedRange {
  const [iova, length] = [big(args['iova']), big(args[name])];
  const isAll = hasFlag(args, 'VFIO_DMA_UNMAP_FLAG_ALL') || length === U64_MAX;
  const none = { va: undefined, rights: { read: false, write: false } };
  return { what: 'unmap', space, iova, length, done: big(after[name]), isAll, ...none };
}
function ioasOf(file: string, { ioas_id }: CallArgs): string {
  return `${file} ${String(ioas_id)}`;
}
function containerOf(file: string): string {
  return `${file} container`;
}
function big(value: unknown): bigint {
  return typeof value === 'bigint' ? value : BigInt(Number(value));
}
