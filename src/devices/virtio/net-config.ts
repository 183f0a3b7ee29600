/** Configuration of a network device as registers (virtio 1.2, 5.1.4; devices.md 5.5), and its feature bits. */
import type { RegisterTable } from '../unit/registers.ts';
import { featureBits } from './numbers.ts';
import { DEVICE_CONFIG } from './registers.ts';

export const VIRTIO_NET_F_MTU = 3;
export const VIRTIO_NET_F_MAC = 5;
export const VIRTIO_NET_F_MRG_RXBUF = 15;
export const VIRTIO_NET_F_STATUS = 16;
export const VIRTIO_NET_F_CTRL_VQ = 17;
export const VIRTIO_NET_F_CTRL_RX = 18;
export const VIRTIO_NET_F_MQ = 22;
export const VIRTIO_NET_F_CTRL_MAC_ADDR = 23;
export const VIRTIO_NET_F_SPEED_DUPLEX = 63;
/** Bit of the status register. */
export const VIRTIO_NET_S_LINK_UP = 1;

const SPEED_MBIT = 10_000;

/** Feature bits of a device with so many pairs of queues. */
export function netFeatures(pairs: number): bigint {
  return featureBits(
    VIRTIO_NET_F_MTU,
    VIRTIO_NET_F_MAC,
    VIRTIO_NET_F_MRG_RXBUF,
    VIRTIO_NET_F_STATUS,
    VIRTIO_NET_F_CTRL_VQ,
    VIRTIO_NET_F_CTRL_RX,
    VIRTIO_NET_F_CTRL_MAC_ADDR,
    VIRTIO_NET_F_SPEED_DUPLEX,
    ...(pairs > 1 ? [VIRTIO_NET_F_MQ] : []),
  );
}

/** Its registers. */
export function netRegisters({ pairs, mtu }: { pairs: number; mtu: number }) {
  const at = (offset: number): number => DEVICE_CONFIG + offset;
  return {
    mac: { offset: at(0), width: 1, count: 6, access: 'ro', help: 'station address' },
    status: { offset: at(6), width: 2, access: 'ro', help: '0x1 the link is up' },
    maxVirtqueuePairs: { offset: at(8), width: 2, access: 'ro', reset: pairs, help: 'pairs' },
    mtu: { offset: at(10), width: 2, access: 'ro', reset: mtu, help: 'bytes of payload' },
    speed: { offset: at(12), width: 4, access: 'ro', reset: SPEED_MBIT, help: 'Mbit/s' },
    duplex: { offset: at(16), width: 1, access: 'ro', reset: 1, help: '1 full' },
  } as const satisfies RegisterTable;
}
