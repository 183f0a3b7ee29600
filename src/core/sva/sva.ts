/**
 * Shared virtual addressing: a device uses the address space of a process under a PASID (core.md 10.1).
 *
 * An address space has one PASID of the machine, the same for every device; its domains are shared by the devices that
 * accept them. Page faults are resolved by the address space itself.
 */
import { Bug } from '../../base/bug.ts';
import {
  EBUSY,
  ENODEV,
  ENOENT,
  ENOSPC,
  EOVERFLOW,
  isErrno,
  type Result,
} from '../../base/errno.ts';
import { Lock } from '../../base/lock.ts';
import { refuse } from '../../base/refuse.ts';
import { attachHandleGet } from '../attach/attach.ts';
import type { Device } from '../contract/device.ts';
import { IOMMU_DOMAIN_SVA, type AttachHandle, type Domain } from '../contract/domain.ts';
import { domainFree, svaDomainAlloc } from '../map/domain-alloc.ts';
import type { SvaMm } from '../contract/driver.ts';
import type { IommuCore } from '../contract/iommu-core.ts';
import { iopfFreeGroup, iopfGroupQueueWork, iopfGroupResponse } from '../contract/iopf.ts';
import {
  IOMMU_FAULT_PAGE_REQUEST_PASID_VALID,
  IOMMU_PAGE_RESP_INVALID,
  IOMMU_PAGE_RESP_SUCCESS,
  type IopfFault,
  type IopfGroup,
} from '../contract/iopf-queue.ts';
import {
  allocGlobalPasid,
  attachDevicePasid,
  detachDevicePasid,
  freeGlobalPasid,
  IOMMU_PASID_INVALID,
} from '../attach/pasid.ts';
import { maxPasidsOf } from '../attach/test-dev.ts';

/** What the core keeps of an address space (struct iommu_mm_data). Guarded by iommu_sva_lock. */
interface MmData {
  readonly mm: SvaMm;
  readonly pasid: number;
  readonly domains: Map<Domain, { users: number }>;
  exited: boolean;
}

/** A bond between a device and an address space. */
export interface SvaHandle extends AttachHandle {
  domain: Domain | undefined;
  readonly dev: Device;
  readonly mm: SvaMm;
  users: number;
}

interface SvaState {
  readonly lock: Lock;
  readonly mms: Map<SvaMm, MmData>;
  readonly handles: Map<AttachHandle, SvaHandle>;
}
const states = new WeakMap<IommuCore, SvaState>();

function stateOf(core: IommuCore): SvaState {
  let state = states.get(core);
  if (!state) {
    state = { lock: new Lock('iommu_sva_lock'), mms: new Map(), handles: new Map() };
    states.set(core, state);
  }
  return state;
}

/**
 * Bind a device to an address space, or count one more user of the bond.
 * Errnos: ENODEV no group; EBUSY the address space cannot be shared, or its PASID is in use; EOVERFLOW the PASID is beyond
 * the device; ENOSPC no PASID is left; EOPNOTSUPP the driver cannot; driver's.
 * @kernel iommu_sva_bind_device
 */
export function svaBindDevice(dev: Device, mm: SvaMm): Result<SvaHandle> {
  const group = dev.iommuGroup;
  if (!group) return refuse(ENODEV, 'the device is in no group', { device: dev.name });
  const state = stateOf(dev.core);
  using _ = state.lock.hold();
  const data = mmDataFor(state, dev, mm);
  if (isErrno(data)) return data;

  const bound = attachHandleGet(group, data.pasid, IOMMU_DOMAIN_SVA);
  if (!isErrno(bound)) return shareBond(state, bound, mm);
  if (bound !== ENOENT) return bound;

  const handle: SvaHandle = { domain: undefined, dev, mm, users: 1 };
  const domain = attachSomeDomain(data, dev, handle);
  if (isErrno(domain)) return domain;
  state.handles.set(handle, handle);
  return handle;
}

function shareBond(state: SvaState, bound: AttachHandle, mm: SvaMm): Result<SvaHandle, 'EBUSY'> {
  const handle = state.handles.get(bound);
  if (handle?.mm !== mm) {
    return refuse(EBUSY, 'the PASID of the address space is bound to another one');
  }
  handle.users++;
  return handle;
}

/** @kernel iommu_alloc_mm_data */
function mmDataFor(state: SvaState, dev: Device, mm: SvaMm): Result<MmData> {
  if (!mm.usable)
    return refuse(EBUSY, 'the page table of the address space cannot be shared', { mm: mm.id });
  const known = state.mms.get(mm);
  if (known) {
    if (known.pasid < maxPasidsOf(dev)) return known;
    return refuse(EOVERFLOW, 'the PASID of the address space is beyond those of the device', {
      pasid: known.pasid,
      max: maxPasidsOf(dev),
    });
  }
  const pasid = allocGlobalPasid(dev);
  if (pasid === IOMMU_PASID_INVALID) {
    return refuse(ENOSPC, 'the device has no PASID left for the address space', {
      device: dev.name,
    });
  }
  const data: MmData = { mm, pasid, domains: new Map(), exited: false };
  state.mms.set(mm, data);
  return data;
}

/** A domain of the address space that the device takes: an old one, or one more. */
function attachSomeDomain(data: MmData, dev: Device, handle: SvaHandle): Result<Domain> {
  for (const [domain, count] of data.domains) {
    if (attachDevicePasid(domain, dev, data.pasid, handle)) continue;
    count.users++;
    return domain;
  }
  const domain = svaDomainAlloc(dev, data.mm);
  if (isErrno(domain)) return domain;
  domain.cookie = { kind: 'sva', priv: data.mm };
  domain.iopfHandler = svaIopfHandler;
  const rc = attachDevicePasid(domain, dev, data.pasid, handle);
  if (rc) {
    domainFree(domain);
    return rc;
  }
  data.domains.set(domain, { users: 1 });
  return domain;
}

/** @kernel iommu_sva_unbind_device */
export function svaUnbindDevice(handle: SvaHandle): void {
  const { dev, mm, domain } = handle;
  const state = stateOf(dev.core);
  using _ = state.lock.hold();
  const data = state.mms.get(mm);
  if (!domain || !data || handle.users <= 0) throw new Bug(`${dev.name}: unbound without a bond`);
  if (--handle.users > 0) return;
  detachDevicePasid(domain, dev, data.pasid);
  state.handles.delete(handle);
  const count = data.domains.get(domain);
  if (!count) throw new Bug(`${domain.name}: is no domain of its address space`);
  if (--count.users > 0) return;
  data.domains.delete(domain);
  domainFree(domain);
  dropIfDead(state, dev.core, data);
}

/** @kernel iommu_sva_get_pasid */
export function svaGetPasid(handle: SvaHandle): number {
  return stateOf(handle.dev.core).mms.get(handle.mm)?.pasid ?? IOMMU_PASID_INVALID;
}

/**
 * The address space is gone: its PASID is free again once no domain holds it.
 * @kernel mm_pasid_drop
 */
export function mmPasidDrop(core: IommuCore, mm: SvaMm): void {
  const state = stateOf(core);
  using _ = state.lock.hold();
  const data = state.mms.get(mm);
  if (!data) return;
  data.exited = true;
  dropIfDead(state, core, data);
}

function dropIfDead(state: SvaState, core: IommuCore, data: MmData): void {
  if (!data.exited || data.domains.size > 0) return;
  state.mms.delete(data.mm);
  freeGlobalPasid(core, data.pasid);
}

/**
 * The kernel changed addresses of its own, which every page table shows: what devices cached of them is forgotten.
 * @kernel iommu_sva_invalidate_kva_range
 */
export function svaInvalidateKvaRange(core: IommuCore, startG: number, lastG: number): void {
  const state = stateOf(core);
  using _ = state.lock.hold();
  for (const { mm, domains } of state.mms.values()) {
    if (domains.size > 0) mm.invalidateSecondaryTlbs?.(startG, lastG);
  }
}

/** @kernel iommu_sva_iopf_handler */
function svaIopfHandler(group: IopfGroup): ReturnType<typeof iopfGroupQueueWork> {
  return iopfGroupQueueWork(group, () => {
    const mm = stateOf(group.dev.core).handles.get(group.attachHandle)?.mm;
    const ok = mm !== undefined && group.faults.every((fault) => resolve(mm, fault));
    iopfGroupResponse(group, ok ? IOMMU_PAGE_RESP_SUCCESS : IOMMU_PAGE_RESP_INVALID);
    iopfFreeGroup(group);
  });
}

/** @kernel iommu_sva_handle_mm */
function resolve(mm: SvaMm, fault: IopfFault): boolean {
  if ((fault.flags & IOMMU_FAULT_PAGE_REQUEST_PASID_VALID) === 0 || !mm.alive) return false;
  return mm.handleFault(fault.addr, fault.perm);
}
