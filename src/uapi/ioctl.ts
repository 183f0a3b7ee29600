/**
 * How the ioctl numbers of iommufd and VFIO are made: `_IO(';', nr)`, without size or direction bits (iommufd.md 1.2).
 */
export const IOMMUFD_TYPE = 0x3b;

/** _IO(';', nr) */
export function io(nr: number): number {
  return (IOMMUFD_TYPE << 8) | nr;
}
