/** A driver of its own beside the selftest's, its devices, an open iommufd, an IOAS. */
import { isErrno, type Result } from '../../base/errno.ts';
import type { IommuOps } from '../../core/contract/driver.ts';
import type { DeviceConfig } from '../../core/contract/device.ts';
import {
  createMockDriver,
  type MockDeviceKnobs,
  type MockDriverKnobs,
} from '../../drivers/mock/index.ts';
import { deviceBind, type IommufdDevice } from '../../iommufd/device.ts';
import { ctxFromFile } from '../../iommufd/main.ts';
import { must } from '../base/must.ts';
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
  const alloc = driver.ops.domainAllocNested!.bind(driver.ops);
  const withoutCaches: IommuOps['domainAllocNested'] = (...given) => {
    const domain = alloc(...given);
    if (isErrno(domain)) return domain;
    const ops = { ...domain.ops };
    delete ops.cacheInvalidateUser;
    return Object.assign(domain, { ops });
  };
  Object.assign(driver.ops, { domainAllocNested: withoutCaches });
}
