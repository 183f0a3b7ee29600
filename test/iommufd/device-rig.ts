/** A driver of its own beside the selftest's, its devices, an open iommufd, an IOAS. */
import { isErrno, type Result } from '../../src/base/errno.ts';
import type { IommuOps } from '../../src/core/contract/driver.ts';
import type { DeviceConfig } from '../../src/core/contract/device.ts';
import {
  createMockDriver,
  type MockDeviceKnobs,
  type MockDriverKnobs,
} from '../../src/drivers/mock/index.ts';
import { deviceBind, type IommufdDevice } from '../../src/iommufd/device.ts';
import { ctxFromFile } from '../../src/iommufd/main.ts';
import { must } from '../core/rig.ts';
import { ioasAlloc } from './calls.ts';
import { World } from './world.ts';

export function deviceRig(knobs: MockDriverKnobs = {}, world = new World()) {
  const driver = createMockDriver(world.core, { name: 'other', ...knobs });
  const fwnode = {};
  const instance = must(driver.registerInstance({ name: 'other0', fwnode }));
  const fd = world.open();
  let devices = 0;
  const add = (config: Partial<DeviceConfig> = {}, deviceKnobs: Partial<MockDeviceKnobs> = {}) =>
    driver.addDevice({
      config: { name: `dev${devices++}`, bus: 'pci', pasidBits: 10, ...config },
      fwnode,
      knobs: deviceKnobs,
    });
  const bind = (...device: Parameters<typeof add>): Result<IommufdDevice> =>
    deviceBind(ctxFromFile(fd.file)!, add(...device));
  return { world, driver, instance, fd, bind, add, ioas: ioasAlloc(fd) };
}

/** Nested domains of the driver have no caches to invalidate from now on. */
export function withoutNestedCaches(driver: { readonly ops: IommuOps }): void {
  const alloc = driver.ops.domainAllocNested!;
  const withoutCaches: typeof alloc = (...given) => {
    const domain = alloc(...given);
    if (isErrno(domain)) return domain;
    const { cacheInvalidateUser: _none, ...ops } = domain.ops;
    return Object.assign(domain, { ops });
  };
  Object.assign(driver.ops, { domainAllocNested: withoutCaches });
}
