/**
 * The registers every virtio PCI device has, and where its capabilities say they are (virtio 1.2, 4.1.4; devices.md 5.1,
 * 5.2). Offsets are those of BAR 4; what queue_select chooses is shown in the queue registers.
 */
import type { PciIdentity } from '../port.ts';
import type { RegisterTable } from '../unit/registers.ts';
import { VIRTIO_MSI_NO_VECTOR } from './numbers.ts';

/** BAR of the structures below, and of the MSI-X table, so that the first can be mapped as a whole. */
export const VIRTIO_BAR = 4;
const MSIX_BAR = 1;
const BAR_SIZE = 0x4000;
const ISR = 0x1000;
/** Where the registers of the kind of device begin. */
export const DEVICE_CONFIG = 0x2000;
const NOTIFY = 0x3000;
const NOTIFY_MULTIPLIER = 4;
/** Queues of one device. */
export const MOST_QUEUES = 130;

/** Common configuration, ISR and notification area. */
export const VIRTIO_REGISTERS = {
  deviceFeatureSelect: { offset: 0, width: 4, access: 'rw', acts: 'any', help: 'half of the next' },
  deviceFeature: { offset: 4, width: 4, access: 'ro', help: 'feature bits offered' },
  driverFeatureSelect: { offset: 8, width: 4, access: 'rw', acts: 'any', help: 'half of the next' },
  driverFeature: { offset: 12, width: 4, access: 'rw', acts: 'any', help: 'feature bits accepted' },
  configMsixVector: {
    offset: 16,
    width: 2,
    access: 'rw',
    acts: 'any',
    reset: VIRTIO_MSI_NO_VECTOR,
    help: 'vector of changes of the configuration; 0xffff none',
  },
  numQueues: { offset: 18, width: 2, access: 'ro', help: 'queues there are' },
  deviceStatus: {
    offset: 20,
    width: 1,
    access: 'rw',
    help: '0x1 acknowledge, 0x2 driver, 0x4 driver ok, 0x8 features ok, 0x40 needs reset, 0x80 failed; 0 resets',
  },
  configGeneration: { offset: 21, width: 1, access: 'ro', help: 'counts changes of the next' },
  queueSelect: { offset: 22, width: 2, access: 'rw', acts: 'any', help: 'queue of the next' },
  queueSize: { offset: 24, width: 2, access: 'rw', acts: 'any', help: 'descriptors; 0 no queue' },
  queueMsixVector: {
    offset: 26,
    width: 2,
    access: 'rw',
    acts: 'any',
    reset: VIRTIO_MSI_NO_VECTOR,
    help: 'vector of used buffers; 0xffff none',
  },
  queueEnable: { offset: 28, width: 2, access: 'rw', acts: 'any', help: '1 enables' },
  queueNotifyOff: { offset: 30, width: 2, access: 'ro', help: 'place in the notification area' },
  queueDesc: { offset: 32, width: 8, access: 'rw', acts: 'any', help: 'descriptor area' },
  queueDriver: { offset: 40, width: 8, access: 'rw', acts: 'any', help: 'driver area' },
  queueDevice: { offset: 48, width: 8, access: 'rw', acts: 'any', help: 'device area' },
  queueNotifyData: { offset: 56, width: 2, access: 'ro', help: 'what a notification says' },
  queueReset: { offset: 58, width: 2, access: 'rw', acts: 'any', help: '1 resets the queue' },
  isr: { offset: ISR, width: 1, access: 'rc', help: '0x1 used buffers, 0x2 configuration' },
  notify: {
    offset: NOTIFY,
    width: NOTIFY_MULTIPLIER,
    access: 'wo',
    count: MOST_QUEUES,
    help: 'buffers of this queue are available',
  },
} as const satisfies RegisterTable;

/** Types of the vendor capabilities (4.1.4). */
const CFG_COMMON = 1;
const CFG_NOTIFY = 2;
const CFG_ISR = 3;
const CFG_DEVICE = 4;
const CFG_PCI = 5;

/** cfg_type, bar, id, two bytes of nothing, offset, length; and more. */
function vendorCapability(
  type: number,
  offset: number,
  length: number,
  ...more: number[]
): Uint8Array {
  const bytes = new Uint8Array(13 + 4 * more.length);
  const view = new DataView(bytes.buffer);
  bytes.set([type, VIRTIO_BAR]);
  for (const [n, word] of [offset, length, ...more].entries())
    view.setUint32(5 + 4 * n, word, true);
  return bytes;
}

/** What every virtio function is. `deviceId` is that of the standard (5): 1 network, 2 block. */
export function virtioIdentity(deviceId: number, classCode: number, queues: number): PciIdentity {
  return {
    vendor: 0x1af4,
    device: 0x1040 + deviceId,
    revision: 1,
    classCode,
    subsystemVendor: 0x1af4,
    subsystem: 0x1100,
    bars: [
      { index: MSIX_BAR, size: 0x1000, kind: 'mem32' },
      { index: VIRTIO_BAR, size: BAR_SIZE, kind: 'mem64', prefetchable: true },
    ],
    interruptPin: 1,
    msix: { vectors: queues + 1, bar: MSIX_BAR, tableOffset: 0, pbaOffset: 0xc00 },
    pcie: { flr: true, type: 'endpoint' },
    powerManagement: true,
    vendorCapabilities: [
      vendorCapability(CFG_COMMON, 0, 0x40),
      vendorCapability(CFG_ISR, ISR, 4),
      vendorCapability(CFG_DEVICE, DEVICE_CONFIG, 0x1000),
      vendorCapability(CFG_NOTIFY, NOTIFY, 0x1000, NOTIFY_MULTIPLIER),
    ],
    windowCapability: CFG_PCI,
  };
}
