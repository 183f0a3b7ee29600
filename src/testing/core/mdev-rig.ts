/** For the tests of aux domains: devices with AUX enabled and a mediated device on one of them. */
import { devEnableFeature, IOMMU_DEV_FEAT_AUX } from '../../core/attach/aux-feature.ts';
import type { Device } from '../../core/contract/device.ts';
import type { Domain } from '../../core/contract/domain.ts';
import { groupAddDevice } from '../../core/group/group-ops.ts';
import type { IommuGroup } from '../../core/contract/group.ts';
import { mdevCreate, mdevSetIommuDevice } from '../../core/aux/mdev.ts';
import { done, must } from '../base/must.ts';
import { Rig, type RigOptions } from './rig.ts';

export const TRAITS = ['aux-domains'] as const;

/** Devices of their own groups, AUX off. */
export function newRig(options: RigOptions = {}): Rig {
  return new Rig({
    traits: TRAITS,
    ...options,
    driver: { group: 'own', default: 'none', ...options.driver },
  });
}
export function enableAux(...devices: Device[]): void {
  for (const dev of devices) done(devEnableFeature(dev, IOMMU_DEV_FEAT_AUX));
}
export interface MdevRig {
  readonly rig: Rig;
  readonly phys: Device;
  readonly mdev: Device;
  readonly group: IommuGroup;
  readonly u: Domain;
}
/** A mediated device on A, with AUX enabled. */
export function newMdev(options: RigOptions = {}): MdevRig {
  const rig = newRig(options);
  enableAux(rig.a);
  const mdev = must(mdevCreate(rig.a, 'mdev0'));
  done(mdevSetIommuDevice(mdev, rig.a));
  const u = rig.domain('U');
  rig.log.take();
  return { rig, phys: rig.a, mdev, group: mdev.iommuGroup!, u };
}

/** A mediated device joins another one's group. */
export function joinGroup(mdev: Device, group: IommuGroup): void {
  mdev.iommuGroup = undefined;
  done(groupAddDevice(group, mdev));
}
