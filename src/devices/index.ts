/** Device models by the name a machine description uses, and the contract for writing one (entry `softiommu/devices`). */
import { edu } from './edu/edu.ts';
import { atsTestdev } from './ats-testdev/ats-testdev.ts';
import { pciTestdev } from './pci-testdev/pci-testdev.ts';
import { dmaEcho } from './dma-echo/dma-echo.ts';
import { dsa } from './dsa/dsa.ts';
import { ioat } from './ioat/ioat.ts';
import { generic } from './generic/generic.ts';
import { igb } from './igb/igb.ts';
import { nvme } from './nvme/nvme.ts';
import type { DeviceType } from './port.ts';
import { virtioBlk } from './virtio/virtio-blk.ts';
import { virtioNet } from './virtio/virtio-net.ts';

export type {
  AtsTranslation,
  BarMemory,
  BarSpec,
  ConfigSwitch,
  DeviceAts,
  ConfigPort,
  DeviceDma,
  DeviceIrq,
  DeviceModel,
  DeviceOption,
  DeviceOptions,
  DevicePageRequest,
  DevicePort,
  DeviceState,
  DeviceType,
  DmaPiece,
  PciIdentity,
  PageRange,
  RegisterSpace,
  ResetKind,
  SriovSpec,
  VirtualIdentity,
} from './port.ts';
export { withDefaults } from '../base/options.ts';
export { Delay } from './unit/delay.ts';
export { cutPieces, piecesLength, readEach, writeEach, type PlacedBytes } from './unit/each.ts';
export { loadFrom, storeTo } from './unit/memory.ts';
export { MemoryDisk, type DiskState } from './unit/memory-disk.ts';
export { fetchEntries, ringPieces, storeEntry, type DescriptorRing } from './unit/ring.ts';
export { Pump, type PumpOptions } from './unit/pump.ts';
export { shadowPages } from './unit/register-shadow.ts';
export { offsetsOf, RegisterFile } from './unit/registers.ts';
export type {
  LoadHandlers,
  RegisterAccess,
  RegisterPlace,
  RegisterRules,
  RegisterSpec,
  RegisterState,
  RegisterTable,
  RegisterWidth,
  StoreHandlers,
} from './unit/registers.ts';
export { blockOf } from './host-services.ts';
export type {
  BlockBacking,
  BlockErrors,
  CharBacking,
  Completion,
  HostBackings,
  HostNeed,
  HostServices,
  Wire,
  WireBacking,
  WireReceiver,
  WireState,
} from './host-services.ts';
export {
  atsTestdev,
  dmaEcho,
  dsa,
  edu,
  generic,
  igb,
  ioat,
  nvme,
  pciTestdev,
  virtioBlk,
  virtioNet,
};

/** Every device model that comes with softiommu, by name. */
export const DEVICE_TYPES: ReadonlyMap<string, DeviceType> = new Map(
  [atsTestdev, dmaEcho, dsa, edu, generic, igb, ioat, nvme, pciTestdev, virtioBlk, virtioNet].map(
    (type) => [type.type, type],
  ),
);
// What a device model needs of PCI, of time, and to see that its DMA failed.
export type { PciePortType, PciRegisters } from '../pci/identity.ts';
export { Clock } from '../base/clock.ts';
export { EFAULT, isErrno, type Errno, type Status } from '../base/errno.ts';
export { refuse } from '../base/refuse.ts';
