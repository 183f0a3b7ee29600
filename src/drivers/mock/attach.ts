/**
 * The attach callbacks of the mock driver's domains: what can refuse a device (core.md 10.4), and the failures a
 * test asked for.
 */
import { EINVAL, ENODEV, ENOENT, ENOMEM, type Status } from '../../base/errno.ts';
import { refuse } from '../../base/refuse.ts';
import type { Device } from '../../core/contract/device.ts';
import { IOMMU_DOMAIN_BLOCKED, type Domain, type DomainOps } from '../../core/contract/domain.ts';
import type { VdeviceCore, ViommuCore } from '../../core/contract/driver.ts';
import { iopfQueueAddDevice, iopfQueueRemoveDevice } from '../../core/contract/iopf.ts';
import { type IopfQueue } from '../../core/contract/iopf-queue.ts';
import { mockDeviceOf, type MockDevice } from './device.ts';
import { takeFailure, type MockDriverKnobs } from './knobs.ts';
import { mockNestedOf } from './nested.ts';

/** Every second set of a domain on this PASID fails: how the kernel's selftest tests rollback. */
const TRAP_PASID = 1024;

/** The fault queue all devices of the driver share; undefined when there is none. */
export type IopfQueueOf = () => IopfQueue | undefined;

/** The callbacks every domain of a mock driver has. */
export function makeAttachOps(knobs: MockDriverKnobs, queue: IopfQueueOf): DomainOps {
  return {
    attachDev: (domain, dev, old) => attachDev(queue, domain, dev, old),
    ...((knobs.pasid ?? true) && {
      setDevPasid: (domain: Domain, dev: Device, pasid: number, old: Domain | undefined) =>
        setDevPasid(queue, { domain, dev, pasid, old }),
    }),
    ...((knobs.testDev ?? true) && {
      testDev: (domain: Domain, dev: Device, pasid: number) => testDev(queue, domain, dev, pasid),
    }),
  };
}

/** The rules a test can foresee. `pasid` 0 is an attach. */
function testDev(queue: IopfQueueOf, domain: Domain, dev: Device, pasid: number): Status {
  const record = mockDeviceOf(dev);
  const { failTest } = record.knobs;
  if (failTest) return refuse(failTest, 'the test was made to fail', { device: dev.name });
  if (pasid === 0) {
    const rc = checkFit(record, domain);
    if (rc) return rc;
  }
  return needsIopf(domain) && !queue() ? refuseNoQueue(dev) : undefined;
}

function attachDev(
  queue: IopfQueueOf,
  domain: Domain,
  dev: Device,
  old: Domain | undefined,
): Status {
  const record = mockDeviceOf(dev);
  const injected = takeFailure(record.knobs.failAttach, domain);
  if (injected) return refuse(injected, 'the attach was made to fail', { device: dev.name });
  const rc = checkFit(record, domain) ?? enableIopf(queue, record, domain);
  if (rc) return rc;
  disableIopf(queue, record, old);
  record.domain = domain;
  record.virtual = virtualOf(domain, dev);
  return undefined;
}

function checkFit(record: MockDevice, domain: Domain): Status {
  const { dev, knobs } = record;
  if (domain.dirtyOps && knobs.noDirty) {
    return refuse(EINVAL, 'the domain tracks dirty pages, the device cannot', { device: dev.name });
  }
  const viommu = mockNestedOf(domain)?.viommu;
  if (viommu && !findVdevice(viommu, dev)) {
    return refuse(ENOENT, 'the device has no virtual id in the vIOMMU of the domain', {
      device: dev.name,
    });
  }
  return undefined;
}

function findVdevice(viommu: ViommuCore, dev: Device): VdeviceCore | undefined {
  return [...viommu.vdevices.values()].find((vdevice) => vdevice.dev === dev);
}

function virtualOf(domain: Domain, dev: Device): MockDevice['virtual'] {
  const viommu = mockNestedOf(domain)?.viommu;
  const vdevice = viommu && findVdevice(viommu, dev);
  return viommu && vdevice && { viommu, vdevice };
}

interface PasidSet {
  readonly domain: Domain;
  readonly dev: Device;
  readonly pasid: number;
  readonly old: Domain | undefined;
}

function setDevPasid(queue: IopfQueueOf, set: PasidSet): Status {
  const { domain, dev, pasid, old } = set;
  const record = mockDeviceOf(dev);
  const blocks = domain.type === IOMMU_DOMAIN_BLOCKED;
  if (!blocks) {
    const injected = takeFailure(record.knobs.failPasid, domain);
    if (injected) return refuse(injected, 'the set was made to fail', { device: dev.name });
  }
  const rc = springTrap(record, pasid, blocks) ?? enableIopf(queue, record, domain);
  if (rc) return rc;
  disableIopf(queue, record, old);
  if (blocks) record.pasids.delete(pasid);
  else record.pasids.set(pasid, domain);
  return undefined;
}

function springTrap(record: MockDevice, pasid: number, blocks: boolean): Status {
  if (pasid !== TRAP_PASID) return undefined;
  const springs = !blocks && record.pasidTrapArmed;
  record.pasidTrapArmed = !blocks && !springs;
  return springs ? refuse(ENOMEM, 'PASID 1024 fails every second time', { pasid }) : undefined;
}

/** A domain of the user's with a fault queue of iommufd behind it. */
function needsIopf(domain: Domain | undefined): boolean {
  return domain?.iopfHandler !== undefined;
}

/** A device is on the driver's fault queue as long as one of its domains may fault. */
function enableIopf(queue: IopfQueueOf, record: MockDevice, domain: Domain): Status {
  if (!needsIopf(domain)) return undefined;
  const shared = queue();
  if (!shared) return refuseNoQueue(record.dev);
  if (record.iopfUsers === 0) {
    const rc = iopfQueueAddDevice(shared, record.dev);
    if (rc) return rc;
  }
  record.iopfUsers++;
  return undefined;
}

function disableIopf(queue: IopfQueueOf, record: MockDevice, old: Domain | undefined): void {
  if (!needsIopf(old) || record.iopfUsers === 0) return;
  if (--record.iopfUsers > 0) return;
  const shared = queue();
  if (shared) iopfQueueRemoveDevice(shared, record.dev);
}

function refuseNoQueue(dev: Device): Status {
  return refuse(ENODEV, 'the mock driver has no queue for page faults', { device: dev.name });
}
