/** The driver suite for a type of IOMMU: it stands in a machine, above devices that have all that PCI can say of one. */
import type { TraceEvent } from '../../base/events.ts';
import { Machine } from '../../facade/machine.ts';
import type { SimDevice } from '../../facade/device.ts';
import type { MachineInput } from '../../machine/description/description.ts';
import type { SuiteCase } from '../base/suite-case.ts';
import { driverCases, type DriverMachine } from '../core/driver-suite.ts';
import type { TestMachineOptions } from './test-machine.ts';

/** What is known of a type besides what it declares. */
export interface IommuSuiteOptions {
  /** Options of the instance. */
  readonly options?: Omit<NonNullable<MachineInput['iommus']>[number], 'type'>;
  /** Why PASIDs, or stale translations, are not to be tested: it has none, it caches nothing. */
  readonly noPasids?: string;
  readonly noCaches?: string;
}

/** Two functions that may have PASIDs. */
const DEVICES = [4, 5].map((slot) => ({
  type: 'generic',
  at: `0000:00:0${slot}.0`,
  options: { pasid_bits: 20 },
}));

/** All cases for a type. */
export function iommuCases(
  type: NonNullable<TestMachineOptions['iommus']>[number],
  { options = {}, ...reasons }: IommuSuiteOptions = {},
): SuiteCase[] {
  return driverCases(() => {
    const machine = new Machine(
      { iommus: [{ ...options, type: type.type }], devices: DEVICES },
      { iommuTypes: new Map([[type.type, type]]) },
    );
    return { ...machineOf(machine), ...reasons };
  });
}

function machineOf(machine: Machine): DriverMachine {
  const { core } = machine.kernel;
  const events: TraceEvent[] = [];
  machine.trace(({ event }) => events.push(event));
  const at = (index: number): SimDevice => machine.device(`0000:00:0${index}.0`);
  const { dev, slot } = at(4).kernel;
  const instance = dev.iommu?.iommuDev;
  const { unit } = slot.dma;
  if (!instance || !unit) throw new Error('the device is not behind the IOMMU');
  return {
    ...{ core, ops: instance.ops, unit, events },
    device(index) {
      const { dev, slot } = at(index).kernel;
      return { dev, requesterId: slot.dma.requesterId };
    },
  };
}
