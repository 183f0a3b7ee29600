/** The types of IOMMU that come with softiommu. A new one is a file and a row. */
import { intelType } from './intel/type.ts';
import type { IommuType } from './iommu-type.ts';
import { mockType } from './mock/type.ts';

/** IOMMUs a machine may have, by their name in a description. */
export type IommuTypes = ReadonlyMap<string, IommuType>;

/** By their name in a machine description. */
export const IOMMU_TYPES: IommuTypes = new Map(
  [intelType, mockType].map((type) => [type.type, type]),
);
