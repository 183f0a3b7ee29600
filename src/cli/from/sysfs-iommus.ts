/** What a copy of sysfs says of the IOMMU of a function, and of memory that firmware wants mapped for its group. */
import { hex } from '../../base/u64.ts';
import type { FoundIommu, FoundRegion } from './found-function.ts';
import type { SysfsDirectory } from './sysfs-directory.ts';

/** The unit that its link `iommu` leads to. */
export function iommuOf(directory: SysfsDirectory): FoundIommu | undefined {
  const name = directory.linkName('iommu');
  if (name === undefined) return undefined;
  const attributes = directory
    .names('iommu')
    .flatMap((kind) => directory.names(`iommu/${kind}`).map((file) => `${kind}/${file}`))
    .filter((file) => ATTRIBUTE.test(file))
    .flatMap((file) => {
      const text = directory.text(`iommu/${file}`);
      return text === undefined ? [] : [[file, text] as const];
    });
  return { name, attributes: new Map(attributes) };
}
/** Those of its driver: 'intel-iommu/cap', 'amd-iommu/features'. */
const ATTRIBUTE = /^[a-z0-9-]+-iommu\/[a-z_]+$/;

/** One file for the whole group. */
export function directRegionsOf(directory: SysfsDirectory): FoundRegion[] {
  const text = directory.text(REGIONS) ?? '';
  return text.split('\n').flatMap((line, index): FoundRegion[] => {
    if (line === '') return [];
    const [, start, last, type] = LINE.exec(line) ?? [];
    if (!start || !last || !type) throw directory.wrong(REGIONS, index + 1, line);
    if (!type.startsWith('direct')) return [];
    // Without the zeros at the front.
    const ends = { start: hex(BigInt(start)), last: hex(BigInt(last)) };
    return [{ ...ends, relaxable: type === 'direct-relaxable' }];
  });
}
const REGIONS = 'iommu_group/reserved_regions';
/** @kernel iommu_group_show_resv_regions */
const LINE = /^(0x[0-9a-f]{16}) (0x[0-9a-f]{16}) (direct|direct-relaxable|reserved|msi)$/;
