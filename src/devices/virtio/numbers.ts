/** Numbers of virtio 1.2 that all its devices share (devices.md 5.1 to 5.4), by the names of the standard's own header. */

/** Bits of device_status (virtio 1.2, 2.1). */
export const VIRTIO_CONFIG_S_ACKNOWLEDGE = 0x01;
export const VIRTIO_CONFIG_S_DRIVER = 0x02;
export const VIRTIO_CONFIG_S_DRIVER_OK = 0x04;
export const VIRTIO_CONFIG_S_FEATURES_OK = 0x08;
export const VIRTIO_CONFIG_S_NEEDS_RESET = 0x40;
export const VIRTIO_CONFIG_S_FAILED = 0x80;

/** Numbers of feature bits (6). */
export const VIRTIO_RING_F_INDIRECT_DESC = 28;
export const VIRTIO_RING_F_EVENT_IDX = 29;
export const VIRTIO_F_VERSION_1 = 32;
export const VIRTIO_F_ACCESS_PLATFORM = 33;
export const VIRTIO_F_RING_PACKED = 34;
export const VIRTIO_F_ORDER_PLATFORM = 36;
export const VIRTIO_F_RING_RESET = 40;

/** Bits of isr (4.1.4.5). */
export const VIRTIO_ISR_QUEUE = 1;
export const VIRTIO_ISR_CONFIG = 2;
/** A vector register that names none (4.1.4.3). */
export const VIRTIO_MSI_NO_VECTOR = 0xffff;

/** Flags of a descriptor (2.7.5, 2.8.10). */
export const VIRTQ_DESC_F_NEXT = 1;
export const VIRTQ_DESC_F_WRITE = 2;
export const VIRTQ_DESC_F_INDIRECT = 4;
export const VIRTQ_DESC_F_AVAIL = 0x80;
export const VIRTQ_DESC_F_USED = 0x8000;
/** Flag of the avail ring (2.7.6). */
export const VIRTQ_AVAIL_F_NO_INTERRUPT = 1;
/** Values of the flags of an event area (2.8.10). */
export const RING_EVENT_FLAGS_ENABLE = 0;
export const RING_EVENT_FLAGS_DISABLE = 1;
export const RING_EVENT_FLAGS_DESC = 2;

/** A set with these feature bits. */
export function featureBits(...numbers: readonly number[]): bigint {
  return numbers.reduce((set, number) => set | (1n << BigInt(number)), 0n);
}
