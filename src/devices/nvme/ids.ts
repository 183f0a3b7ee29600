/** What the function says it is. No kernel has quirks for these numbers (devices.md 4.1). */
export const NVME_IDS = {
  vendor: 0x1234,
  device: 0x4e56,
  subsystemVendor: 0x1af4,
  subsystem: 0x1100,
} as const;
