/**
 * Binding a driver of the driver core to a device, as far as the IOMMU layer is concerned (core.md 2.6): a driver that
 * uses the DMA API needs the default domain, one that manages DMA itself does not.
 */
import { EBUSY, type Status } from '../../base/errno.ts';
import { refuse } from '../../base/refuse.ts';
import type { Device, DeviceDriver } from '../contract/device.ts';
import { deviceUnuseDefaultDomain, deviceUseDefaultDomain } from '../group/ownership.ts';

/**
 * Bind a driver.
 * Errnos: EBUSY there is one, or the device is used from user space; EPROBE_DEFER there is no default domain.
 * @kernel really_probe, with the bus's dma_configure
 */
export function bindDriver(dev: Device, driver: DeviceDriver): Status {
  if (dev.driver) {
    return refuse(EBUSY, 'a driver is bound to the device', { device: dev.name });
  }
  const rc = driver.driverManagedDma ? undefined : deviceUseDefaultDomain(dev);
  if (rc) return rc;
  dev.driver = driver;
  return undefined;
}

/** @kernel device_release_driver, with the bus's dma_cleanup */
export function unbindDriver(dev: Device): void {
  const { driver } = dev;
  dev.driver = undefined;
  if (driver && !driver.driverManagedDma) deviceUnuseDefaultDomain(dev);
}
