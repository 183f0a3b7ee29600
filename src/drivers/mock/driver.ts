/**
 * The mock IOMMU driver: the one of the kernel's iommufd selftest (core.md 10.4, iommufd.md 5.2), with knobs that
 * make it any driver a test needs (core.md 11.4).
 *
 * Several can stand side by side: each call of createMockDriver() makes ops of its own, which is a driver of its own.
 * NOT IMPLEMENTED: SVA; caches of the unit (it needs no invalidation).
 */
import { ENODEV, EOPNOTSUPP, type Result } from '../../base/errno.ts';
import { refuse } from '../../base/refuse.ts';
import { Device } from '../../core/contract/device.ts';
import { newDomain } from '../../core/map/domain-alloc.ts';
import {
  IOMMU_DOMAIN_BLOCKED,
  IOMMU_DOMAIN_IDENTITY,
  IOMMU_DOMAIN_PLATFORM,
  type Domain,
  type DomainOps,
} from '../../core/contract/domain.ts';
import {
  IOMMU_CAP_CACHE_COHERENCY,
  IOMMU_CAP_DIRTY_TRACKING,
  type IommuDevice,
  type IommuOps,
} from '../../core/contract/driver.ts';
import { fwspecInit, instanceForDevice } from '../../core/probe/fwspec.ts';
import { genericDeviceGroup, genericSingleDeviceGroup } from '../../core/group/group-ops.ts';
import type { IommuCore } from '../../core/contract/iommu-core.ts';
import { iopfQueueAlloc, iopfQueueFree } from '../../core/contract/iopf.ts';
import { type IopfQueue } from '../../core/contract/iopf-queue.ts';
import {
  busAddDevice,
  busRemoveDevice,
  deviceRegister,
  deviceRegisterBus,
  deviceUnregister,
  newIommuDevice,
} from '../../core/probe/register.ts';
import type { BusName } from '../../core/contract/device.ts';
import {
  IOMMU_HW_INFO_SELFTEST_REGVAL,
  IOMMU_HW_INFO_TYPE_SELFTEST,
  iommu_test_hw_info,
} from '../../uapi/iommufd-test.ts';
import type { PlainUnit } from '../unit/plain-unit.ts';
import { makeAttachOps } from './attach.ts';
import { MockDevice, mockDeviceOf } from './device.ts';
import {
  defaultDeviceKnobs,
  defaultDomainKnobs,
  type MockDeviceKnobs,
  type MockDeviceRequest,
  type MockDomainKnobs,
  type MockDriverKnobs,
} from './knobs.ts';
import { allocNested } from './nested.ts';
import { allocPaging } from './paging.ts';
import { createMockUnit } from './unit.ts';
import { viommuInit, viommuSupports } from './viommu.ts';

/** PASIDs of an instance of the kernel's mock. */
export const MOCK_MAX_PASIDS = 2 ** 20;

export interface MockInstanceRequest {
  readonly name?: string;
  /** Devices name their instance by this; null takes the devices that name none. */
  readonly fwnode?: object | null;
  readonly maxPasids?: number;
  /** Register for this bus only, as the selftest does. */
  readonly bus?: BusName;
}

export interface MockDriver {
  readonly ops: IommuOps;
  /** Translates for the devices that were connected to it. */
  readonly unit: PlainUnit;
  /** For the paging domains allocated from now on. */
  readonly domainKnobs: MockDomainKnobs;
  /** Another IOMMU of this driver. */
  registerInstance(request?: MockInstanceRequest): Result<IommuDevice>;
  /** Its devices are released. */
  unregisterInstance(instance: IommuDevice): void;
  /** Put a device on its bus; it is probed there and then if its bus is a scanned one. */
  addDevice(request: MockDeviceRequest): Device;
  /** Unplug it. */
  removeDevice(dev: Device): void;
  /** What may be turned on a device, before or after its probe. */
  knobsOf(dev: Device): MockDeviceKnobs;
  /** Have a queue for page faults, or none: without it fault-capable domains are refused. */
  setFaultQueue(on: boolean): void;
}

/** A driver with no instance yet. */
export function createMockDriver(core: IommuCore, knobs: MockDriverKnobs = {}): MockDriver {
  const name = knobs.name ?? 'mock';
  const domainKnobs = defaultDomainKnobs();
  const deviceKnobs = new WeakMap<Device, MockDeviceKnobs>();
  const knobsOf = (dev: Device): MockDeviceKnobs => {
    const known = deviceKnobs.get(dev) ?? defaultDeviceKnobs();
    deviceKnobs.set(dev, known);
    return known;
  };
  let queue: IopfQueue | undefined = iopfQueueAlloc(core.env, `${name}-iopfq`);
  const faults = (): IopfQueue | undefined => queue;
  const attachOps = makeAttachOps(knobs, faults);
  const staticOps = makeAttachOps({ ...knobs, testDev: false }, faults);
  const blockedPasid = knobs.blockedPasid ?? true;
  const blockedOps = makeAttachOps({ ...knobs, testDev: false, pasid: blockedPasid }, faults);
  const ops = makeOps(core, knobs, {
    attachOps,
    staticOps,
    blockedOps,
    domainKnobs,
    knobsOf,
  });
  return {
    ops,
    unit: createMockUnit(core.env, name),
    domainKnobs,
    knobsOf,
    registerInstance: (request) => registerInstance(core, ops, request ?? {}),
    unregisterInstance: (instance) => deviceUnregister(core, instance),
    addDevice(request) {
      const dev = new Device(core, request.config);
      Object.assign(knobsOf(dev), request.knobs);
      if (request.fwnode) {
        // A device whose instance is not there stays without one, as after a deferred probe.
        void fwspecInit(dev, request.fwnode);
      }
      busAddDevice(dev);
      return dev;
    },
    removeDevice: busRemoveDevice,
    setFaultQueue(on) {
      if (on === (queue !== undefined)) return;
      if (queue) iopfQueueFree(queue);
      queue = on ? iopfQueueAlloc(core.env, `${name}-iopfq`) : undefined;
    },
  };
}

function registerInstance(
  core: IommuCore,
  ops: IommuOps,
  request: MockInstanceRequest,
): Result<IommuDevice> {
  const instance = newIommuDevice(ops, {
    name: request.name ?? `${ops.name}${String(core.instances.length)}`,
    maxPasids: request.maxPasids ?? MOCK_MAX_PASIDS,
  });
  const rc = request.bus
    ? deviceRegisterBus(core, instance, ops, request.bus)
    : deviceRegister(core, instance, ops, { fwnode: request.fwnode ?? null });
  return rc ?? instance;
}

interface Parts {
  /** Of paging and nested domains. */
  readonly attachOps: DomainOps;
  /** Of static domains, which fit every device: there is nothing to test. */
  readonly staticOps: DomainOps;
  readonly blockedOps: DomainOps;
  readonly domainKnobs: MockDomainKnobs;
  knobsOf(dev: Device): MockDeviceKnobs;
}

function makeOps(core: IommuCore, knobs: MockDriverKnobs, parts: Parts): IommuOps {
  const { attachOps } = parts;
  const knobsOf = (dev: Device): MockDeviceKnobs => parts.knobsOf(dev);
  const ops: IommuOps = {
    name: knobs.name ?? 'mock',
    defaultDomainOps: attachOps,
    userPasidTable: knobs.userPasidTable ?? true,
    ...(knobs.owner !== undefined && { owner: knobs.owner }),
    ...staticDomains(core, knobs, parts),
    ...allocators(knobs, parts),

    capable: (dev, cap) => capable(mockDeviceOf(dev).knobs, cap),
    hwInfo,
    probeDevice: (dev) => probeDevice(ops, dev, knobsOf(dev)),
    releaseDevice: (dev) => knobsOf(dev).failAttach.splice(0),
    deviceGroup: (dev) => deviceGroup(knobs, dev),
    getResvRegions: (dev) => knobsOf(dev).resvRegions,
    isAttachDeferred: (dev) => knobsOf(dev).attachDeferred,
    defDomainType: (dev) => knobsOf(dev).defDomainType,
    pageResponse: () => undefined,
    viommuSupports: (_dev, type) => viommuSupports(type),
    viommuInit: (viommu, _parent, data) => viommuInit(viommu, data, attachOps),
  };
  return ops;
}

function staticDomains(core: IommuCore, knobs: MockDriverKnobs, parts: Parts): Partial<IommuOps> {
  const { staticOps, blockedOps } = parts;
  const make = (kind: string, type: number, ops = staticOps): Domain =>
    newDomain(core, { kind, type, ops });
  const hasBlocked = knobs.blocked ?? true;
  const blocked = hasBlocked ? make('blocked', IOMMU_DOMAIN_BLOCKED, blockedOps) : undefined;
  const release = knobs.release === 'own' ? make('release', IOMMU_DOMAIN_BLOCKED) : undefined;
  const released = knobs.release === 'blocked' ? blocked : release;
  return {
    ...(blocked && { blockedDomain: blocked }),
    ...(knobs.identity && { identityDomain: make('identity', IOMMU_DOMAIN_IDENTITY) }),
    ...(released && { releaseDomain: released }),
    ...defaultDomain(knobs, blocked, () => make('platform', IOMMU_DOMAIN_PLATFORM)),
  };
}

function defaultDomain(
  knobs: MockDriverKnobs,
  blocked: Domain | undefined,
  makeOwn: () => Domain,
): Partial<IommuOps> {
  if (knobs.default === 'own') return { defaultDomain: makeOwn() };
  if (knobs.default === 'none' || !blocked) return {};
  return { defaultDomain: blocked };
}

function allocators(knobs: MockDriverKnobs, parts: Parts): Partial<IommuOps> {
  const { attachOps, domainKnobs } = parts;
  const alloc = knobs.alloc ?? 'flags';
  const paging = (
    dev: Device,
    flags: number,
    data: Parameters<typeof allocNested>[2] | undefined,
  ) => allocPaging({ dev, flags, data, knobs: { ...domainKnobs }, attachOps });
  return {
    ...(alloc === 'flags' && {
      domainAllocPagingFlags: paging,
      domainAllocNested: (_dev: Device, parent: Domain, flags: number, data) =>
        allocNested(parent, flags, data, attachOps),
    }),
    ...(alloc === 'plain' && {
      domainAllocPaging: (dev: Device) => paging(dev, 0, undefined),
    }),
  } satisfies Partial<IommuOps>;
}

function capable(knobs: MockDeviceKnobs, cap: number): boolean {
  if (cap === IOMMU_CAP_CACHE_COHERENCY) return knobs.cacheCoherency;
  if (cap === IOMMU_CAP_DIRTY_TRACKING) return !knobs.noDirty;
  return knobs.capabilities.includes(cap);
}

function hwInfo(_dev: Device, requestedType: number): Result<{ type: number; bytes: Uint8Array }> {
  if (requestedType !== 0 && requestedType !== IOMMU_HW_INFO_TYPE_SELFTEST) {
    return refuse(EOPNOTSUPP, 'the mock driver has no such hardware information', {
      type: requestedType,
    });
  }
  const info = iommu_test_hw_info.view(new Uint8Array(iommu_test_hw_info.size));
  info.test_reg = IOMMU_HW_INFO_SELFTEST_REGVAL;
  return { type: IOMMU_HW_INFO_TYPE_SELFTEST, bytes: info.bytes };
}

function probeDevice(ops: IommuOps, dev: Device, knobs: MockDeviceKnobs): Result<IommuDevice> {
  if (knobs.failProbe) return refuse(knobs.failProbe, 'the probe was made to fail');
  const instance = instanceForDevice(dev);
  if (instance?.ops !== ops || !dev.iommu) {
    return refuse(ENODEV, 'the device belongs to another driver', { device: dev.name });
  }
  dev.iommu.priv = new MockDevice(dev, knobs);
  return instance;
}

function deviceGroup(knobs: MockDriverKnobs, dev: Device): ReturnType<IommuOps['deviceGroup']> {
  const { group } = knobs;
  if (typeof group === 'function') return group(dev);
  return group === 'instance' ? genericSingleDeviceGroup(dev) : genericDeviceGroup(dev);
}
