/** The ways to a device by their names alone, for options that name one: what each is, is in backends.ts. */

/** In the order they came to Linux, those without an IOMMU last. */
export const BACKEND_NAMES = [
  'type1',
  'type1v2',
  'compat',
  'cdev',
  'noiommu-group',
  'noiommu-cdev',
] as const;
/** Name of a way. */
export type BackendName = (typeof BACKEND_NAMES)[number];
