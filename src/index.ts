/**
 * softiommu: the Linux IOMMU subsystem in user space.
 *
 * A Machine has simulated PCI devices behind real IOMMU page tables; a Program on it makes the system calls of
 * /dev/iommu and /dev/vfio; everything that is refused says why (SoftIommuError).
 */
export { Machine, MachineDescriptionError } from './facade/machine.ts';
export { FaultPlanError, plannedFaults } from './facade/faults.ts';
export { SoftIommuError } from './facade/error.ts';
export { Program } from './facade/program.ts';
export type { IoctlArg, ProgramBuffer, RegisterWindow } from './facade/program.ts';
export { DmaMemory, SimDevice, SimDomain } from './facade/device.ts';
export type { AttachAnswer, TestAttachOptions } from './facade/device.ts';
export type { MachineInput } from './machine/description/description.ts';
export type { FaultPolicies, MachineOptions } from './machine/machine.ts';
export { ERRNO, isErrno, type Errno, type ErrnoName } from './base/errno.ts';
export type { Facts } from './base/refuse.ts';
export type { Credentials } from './machine/program/program.ts';
export type { TestStage } from './core/attach/test-attach.ts';
export { PRESETS, type Preset } from './machine/description/presets.ts';
export type { Explanation } from './core/contract/remapping-unit.ts';
export type { Stamped, TraceEvent } from './base/events.ts';
export type { Ref } from './base/refs.ts';
