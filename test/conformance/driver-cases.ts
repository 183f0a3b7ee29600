/**
 * The IOMMU drivers the shared suite runs over, and what the suite needs of each.
 *
 * A new driver joins by adding a row. What a driver does not have is said by a property with a reason, never by a name.
 */
import { Bug } from '../../src/base/bug.ts';
import { KernelEnv } from '../../src/base/kernel-env.ts';
import type { TraceEvent } from '../../src/base/events.ts';
import { IommuCore } from '../../src/core/contract/iommu-core.ts';
import { createMockDriver } from '../../src/drivers/mock/index.ts';
import type { IntelUnitConfig } from '../../src/drivers/intel/driver/driver.ts';
import { Ram } from '../../src/pt/ram.ts';
import type { DriverMachine } from '../../src/testing/core/driver-suite.ts';
import { intelRig } from '../../src/testing/drivers/intel-rig.ts';
import { must } from '../../src/testing/base/must.ts';

export interface DriverCase {
  readonly name: string;
  make(): DriverMachine;
}

function intel(name: string, config: IntelUnitConfig, noPasids?: string): DriverCase {
  return {
    name: `intel, ${name}`,
    make() {
      const rig = intelRig(config);
      return {
        core: rig.core,
        ops: rig.handle.ops,
        unit: rig.handle.unit,
        events: rig.events,
        device: (index) => ({
          dev: rig.device(index, { pasidBits: 20 }),
          requesterId: index << 3,
        }),
        ...(noPasids !== undefined && { noPasids }),
      };
    },
  };
}

const mock: DriverCase = {
  name: 'mock',
  make() {
    const core = new IommuCore(new KernelEnv(['test-dev']), new Ram(1 << 24));
    const events: TraceEvent[] = [];
    core.env.trace.listen(({ event }) => events.push(event));
    const driver = createMockDriver(core, { identity: true });
    must(driver.registerInstance({ maxPasids: 2 ** 20 }));
    return {
      core,
      ops: driver.ops,
      unit: driver.unit,
      events,
      device(index) {
        const config = { name: `mock${index}`, bus: 'pci' as const, pasidBits: 20 };
        const dev = driver.addDevice({ config });
        if (dev.iommuGroup === undefined) throw new Bug('the mock device was not probed');
        driver.unit.requesters.connect(index << 3, dev);
        return { dev, requesterId: index << 3 };
      },
      noCaches: 'the mock unit asks the domain itself and caches nothing',
    };
  },
};

export const DRIVER_CASES: readonly DriverCase[] = [
  mock,
  intel('legacy', { scalable: false }, 'legacy mode has no PASIDs'),
  intel('second stage', { firstStage: false }),
  intel('first stage', {}),
  intel('first stage, five levels', { firstStage5: true }),
];
