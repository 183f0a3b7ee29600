/**
 * Names of the values in uapi structs: single bits of flags, and constants a field is one of. Full names, as the headers
 * have them; where a number has none it stays a number.
 */
import * as iommufd from './iommufd.ts';
import * as vfio from './vfio.ts';

/** A value by name, or as it is. */
export type Named = string | number | bigint | Uint8Array;

/** What a field holds: bits, whose names begin so, or one constant of these. */
type Meaning =
  | { readonly bits: readonly string[] }
  | { readonly oneOf: readonly string[] }
  | { readonly named: (value: number) => string | number };

const HEADERS: Readonly<Record<string, unknown>> = { ...iommufd, ...vfio };
/** Numbers of commands of iommufd and VFIO: type ';', from 100 on. */
const COMMANDS = { first: 0x3b64, last: 0x3bff };

const REGION: Meaning = { named: regionName };
const IRQ: Meaning = {
  oneOf: ['INTX', 'MSI', 'MSIX', 'ERR', 'REQ'].map((kind) => `VFIO_PCI_${kind}_IRQ_INDEX`),
};
const IOAS_MAP_FLAGS: Meaning = { bits: ['IOMMU_IOAS_MAP_'] };

/** By struct and field. */
const MEANINGS: Readonly<Record<string, Readonly<Record<string, Meaning>>>> = {
  iommu_hw_info: {
    flags: { bits: ['IOMMU_HW_INFO_FLAG_'] },
    out_capabilities: { bits: ['IOMMU_HW_CAP_'] },
    out_data_type: { oneOf: ['IOMMU_HW_INFO_TYPE_'] },
  },
  iommu_hwpt_alloc: {
    data_type: { oneOf: ['IOMMU_HWPT_DATA_'] },
    flags: { bits: ['IOMMU_HWPT_ALLOC_', 'IOMMU_HWPT_FAULT_'] },
  },
  iommu_hwpt_get_dirty_bitmap: { flags: { bits: ['IOMMU_HWPT_GET_DIRTY_BITMAP_'] } },
  iommu_hwpt_set_dirty_tracking: { flags: { bits: ['IOMMU_HWPT_DIRTY_TRACKING_'] } },
  iommu_ioas_copy: { flags: IOAS_MAP_FLAGS },
  iommu_ioas_map: { flags: IOAS_MAP_FLAGS },
  iommu_ioas_map_file: { flags: IOAS_MAP_FLAGS },
  iommu_option: {
    op: { oneOf: ['IOMMU_OPTION_OP_'] },
    option_id: { oneOf: ['IOMMU_OPTION_RLIMIT_MODE', 'IOMMU_OPTION_HUGE_PAGES'] },
  },
  iommu_vfio_ioas: { op: { oneOf: ['IOMMU_VFIO_IOAS_'] } },
  iommu_viommu_alloc: { type: { oneOf: ['IOMMU_VIOMMU_TYPE_'] } },
  vfio_device_attach_iommufd_pt: { flags: { bits: ['VFIO_DEVICE_ATTACH_'] } },
  vfio_device_bind_iommufd: { flags: { bits: ['VFIO_DEVICE_BIND_FLAG_'] } },
  vfio_device_detach_iommufd_pt: { flags: { bits: ['VFIO_DEVICE_DETACH_'] } },
  vfio_device_feature: { flags: { named: featureName } },
  vfio_device_info: { flags: { bits: ['VFIO_DEVICE_FLAGS_'] } },
  vfio_group_status: { flags: { bits: ['VFIO_GROUP_FLAGS_'] } },
  vfio_iommu_type1_dirty_bitmap: { flags: { bits: ['VFIO_IOMMU_DIRTY_PAGES_FLAG_'] } },
  vfio_iommu_type1_dma_map: { flags: { bits: ['VFIO_DMA_MAP_FLAG_'] } },
  vfio_iommu_type1_dma_unmap: { flags: { bits: ['VFIO_DMA_UNMAP_FLAG_'] } },
  vfio_iommu_type1_info: { flags: { bits: ['VFIO_IOMMU_INFO_'] } },
  vfio_irq_info: { flags: { bits: ['VFIO_IRQ_INFO_'] }, index: IRQ },
  vfio_irq_set: { flags: { bits: ['VFIO_IRQ_SET_'] }, index: IRQ },
  vfio_region_info: { flags: { bits: ['VFIO_REGION_INFO_FLAG_'] }, index: REGION },
};

interface Constant {
  readonly name: string;
  readonly value: bigint;
}
/** Constants whose names begin so, in the order of their values; commands are none. */
function constants(prefixes: readonly string[]): Constant[] {
  return prefixes
    .flatMap((prefix) => Object.entries(HEADERS).filter(([name]) => name.startsWith(prefix)))
    .flatMap(([name, value]): Constant[] =>
      (typeof value === 'number' && !isCommand(value)) || typeof value === 'bigint'
        ? [{ name, value: BigInt(value) }]
        : [],
    )
    .sort((a, b) => Number(a.value - b.value));
}
/** Is it the number of a command of these headers? */
export function isCommand(value: number): boolean {
  return value >= COMMANDS.first && value <= COMMANDS.last;
}
function isBit({ value }: Constant): boolean {
  return value !== 0n && (value & (value - 1n)) === 0n;
}

/** Found once, when the first value of its kind is shown. */
const found = new WeakMap<Meaning, readonly Constant[]>();
function namesOf(
  meaning: Extract<Meaning, { bits: unknown } | { oneOf: unknown }>,
): readonly Constant[] {
  let names = found.get(meaning);
  if (!names) {
    names = 'bits' in meaning ? constants(meaning.bits).filter(isBit) : constants(meaning.oneOf);
    found.set(meaning, names);
  }
  return names;
}

/** A field of a struct, 3 of iommu_ioas_map.flags as 'IOMMU_IOAS_MAP_FIXED_IOVA|IOMMU_IOAS_MAP_WRITEABLE'. */
export function namedValue(struct: string, field: string, value: Named): Named {
  const meaning = MEANINGS[struct]?.[field];
  if (!meaning || typeof value === 'string' || typeof value === 'object') return value;
  if ('named' in meaning) return meaning.named(Number(value));
  const names = namesOf(meaning);
  return 'bits' in meaning
    ? bitText(names, value)
    : (names.find((known) => known.value === BigInt(value))?.name ?? value);
}

/** The same for many values of one field. */
export function namer(struct: string, field: string): (value: Named) => Named {
  const meaning = MEANINGS[struct]?.[field];
  if (!meaning) return (value) => value;
  // Flags are nearly always the same few.
  let [last, text]: [Named | undefined, Named] = [undefined, 0];
  return (value) => {
    if (value !== last) [last, text] = [value, namedValue(struct, field, value)];
    return text;
  };
}

/** Bits without a name stay a number. */
function bitText(names: readonly Constant[], value: number | bigint): string | number | bigint {
  const all = BigInt(value);
  const named = names.filter((known) => (all & known.value) !== 0n);
  if (named.length === 0) return value;
  const rest = named.reduce((left, known) => left & ~known.value, all);
  return [...named.map(({ name }) => name), ...(rest ? [`0x${rest.toString(16)}`] : [])].join('|');
}

/** What a container is asked for by VFIO_CHECK_EXTENSION and VFIO_SET_IOMMU. */
export function extensionName(value: bigint): string | bigint {
  return EXTENSIONS.find((name) => BigInt(Number(HEADERS[name])) === value) ?? value;
}
const EXTENSIONS = [
  'VFIO_TYPE1_IOMMU',
  'VFIO_TYPE1v2_IOMMU',
  'VFIO_DMA_CC_IOMMU',
  'VFIO_TYPE1_NESTING_IOMMU',
  'VFIO_NOIOMMU_IOMMU',
  'VFIO_UNMAP_ALL',
  'VFIO_UPDATE_VADDR',
];

/** 0 as 'VFIO_PCI_BAR0_REGION_INDEX'. */
export function regionName(index: number): string | number {
  if (index <= vfio.VFIO_PCI_BAR5_REGION_INDEX) return `VFIO_PCI_BAR${index}_REGION_INDEX`;
  const named = ['ROM', 'CONFIG', 'VGA'].map((kind) => `VFIO_PCI_${kind}_REGION_INDEX`);
  return named.find((name) => HEADERS[name] === index) ?? index;
}

const FEATURE_OPS = {
  bits: ['VFIO_DEVICE_FEATURE_GET', 'VFIO_DEVICE_FEATURE_SET', 'VFIO_DEVICE_FEATURE_PROBE'],
};
/** Operations, and which feature in the low half. */
function featureName(flags: number): string {
  const feature = flags & vfio.VFIO_DEVICE_FEATURE_MASK;
  const ops = BigInt(flags - feature);
  featureNames ??= allFeatureNames();
  const what = featureNames.get(feature) ?? `0x${feature.toString(16)}`;
  return ops === 0n ? what : `${String(bitText(namesOf(FEATURE_OPS), ops))}|${what}`;
}
/** By number. Made when one is asked for first. */
let featureNames: ReadonlyMap<unknown, string> | undefined;
function allFeatureNames(): ReadonlyMap<unknown, string> {
  const isFeature = (name: string): boolean =>
    /^VFIO_DEVICE_FEATURE_(?!GET$|SET$|PROBE$|MASK$)/.test(name);
  const names = Object.keys(HEADERS).filter(isFeature);
  return new Map(names.reverse().map((name) => [HEADERS[name], name])); // of two the first counts
}
