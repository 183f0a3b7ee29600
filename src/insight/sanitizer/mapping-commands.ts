/** The ioctls that map and unmap, by their decoded arguments: of iommufd and of VFIO's containers. */
import type { LeaveEvent } from '../../base/events.ts';
import { U64_MAX } from '../../base/u64.ts';
import { hasFlag, type CallArgs } from './call-args.ts';
import type { MappedRange, MappingRights } from './mapping-call.ts';

/** A call that was to map: all of it is mapped, or nothing. */
export interface AskedMap extends MappedRange {
  readonly what: 'map';
  /** Undefined: in a container, which is one address space. */
  readonly ioas: number | undefined;
  readonly va: bigint | undefined;
  readonly rights: MappingRights;
  /** Of a copy: what it shows. */
  readonly source?: { readonly ioas: number; readonly iova: bigint };
}
/** A call that was to unmap. */
export interface AskedUnmap extends MappedRange {
  readonly what: 'unmap';
  readonly ioas: number | undefined;
  /** Bytes that were unmapped. */
  readonly done: bigint;
  /** The call named no range: all that is there. */
  readonly isAll: boolean;
}
type Asked = AskedMap | AskedUnmap;

type Reader = (args: CallArgs, after: CallArgs) => Asked | undefined;

/** Commands whose place in the program is kept. */
export const MAPPING_COMMANDS: Readonly<Record<string, Reader>> = {
  IOMMU_IOAS_MAP: (args, after) => mapping(args, after, big(args['user_va'])),
  IOMMU_IOAS_MAP_FILE: (args, after) => mapping(args, after, undefined),
  IOMMU_IOAS_COPY: (args, after) => ({
    what: 'map',
    ioas: Number(args['dst_ioas_id']),
    source: { ioas: Number(args['src_ioas_id']), iova: big(args['src_iova']) },
    iova: fixedIova(args, after, 'dst_iova'),
    length: big(args['length']),
    va: undefined,
    rights: rightsOf(args),
  }),
  IOMMU_IOAS_UNMAP: (args, after) => ({
    what: 'unmap',
    ioas: Number(args['ioas_id']),
    ...unmapped(args, after, 'length'),
  }),
  VFIO_IOMMU_MAP_DMA: (args) => {
    // What is mapped stays mapped: it is told where its memory is in another process.
    if (hasFlag(args, 'VFIO_DMA_MAP_FLAG_VADDR')) return undefined;
    return {
      what: 'map',
      ioas: undefined,
      iova: big(args['iova']),
      length: big(args['size']),
      va: big(args['vaddr']),
      rights: {
        read: hasFlag(args, 'VFIO_DMA_MAP_FLAG_READ'),
        write: hasFlag(args, 'VFIO_DMA_MAP_FLAG_WRITE'),
      },
    };
  },
  VFIO_IOMMU_UNMAP_DMA: (args, after) =>
    hasFlag(args, 'VFIO_DMA_UNMAP_FLAG_VADDR')
      ? undefined
      : { what: 'unmap', ioas: undefined, ...unmapped(args, after, 'size') },
};

/** Undefined: the call is none of them, or its arguments could not be read. */
export function askedRange({ command = '', args, after }: LeaveEvent): Asked | undefined {
  return args && MAPPING_COMMANDS[command]?.(args, after ?? args);
}
/** The name of an address space of a file: of an IOAS, or of a container. */
export function spaceOf({ file = '' }: LeaveEvent, ioas: number | undefined): string {
  if (file !== lastSpace.file || ioas !== lastSpace.ioas) {
    lastSpace = { file, ioas, name: `${file} ${ioas ?? 'container'}` };
  }
  return lastSpace.name;
}
/** Most calls are on the space of the last one. */
let lastSpace: { file: string; ioas: number | undefined; name: string } = {
  ...{ file: '', ioas: undefined, name: ' container' },
};

function mapping(args: CallArgs, after: CallArgs, va: bigint | undefined): AskedMap {
  return {
    what: 'map',
    ioas: Number(args['ioas_id']),
    iova: fixedIova(args, after, 'iova'),
    length: big(args['length']),
    va,
    rights: rightsOf(args),
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
/** `name`: of the field with the bytes asked for, and with those done when the call is over. */
function unmapped(
  args: CallArgs,
  after: CallArgs,
  name: string,
): Omit<AskedUnmap, 'what' | 'ioas'> {
  const length = big(args[name]);
  const isAll = hasFlag(args, 'VFIO_DMA_UNMAP_FLAG_ALL') || length === U64_MAX;
  return { iova: big(args['iova']), length, done: big(after[name]), isAll };
}
/** A trace that is read may lack a field: then it is 0. */
function big(value: unknown): bigint {
  if (typeof value === 'bigint') return value;
  return Number.isSafeInteger(value) ? BigInt(Number(value)) : 0n;
}
