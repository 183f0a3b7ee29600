import { expect, test } from 'vitest';
import type { TraceEvent } from '../../base/events.ts';
import { KernelEnv } from '../../base/kernel-env.ts';
import { Device } from '../../core/contract/device.ts';
import { IommuCore } from '../../core/contract/iommu-core.ts';
import { Ram } from '../../pt/ram.ts';
import { reportFault } from './report-fault.ts';
import { Requesters } from './requesters.ts';

const FAULT = {
  ...{ requesterId: 0x20, pasid: -1, write: true, iova: 0x1000n },
  ...{ code: 5, reason: 'no write permission' },
};

function reporter() {
  const core = new IommuCore(new KernelEnv(), new Ram(8192));
  const requesters = new Requesters();
  requesters.connect(0x20, new Device(core, { name: '0000:00:04.0', bus: 'pci' }));
  return { env: core.env, name: 'u0', requesters };
}
function faultsOf(report: (by: ReturnType<typeof reporter>) => void): TraceEvent[] {
  const by = reporter();
  const events: TraceEvent[] = [];
  by.env.trace.listen(({ event }) => events.push(event));
  report(by);
  return events;
}

test('a fault names its device, and has no PASID where the record has none', () => {
  const events = faultsOf((by) => {
    reportFault(by, FAULT);
  });
  expect(events).toEqual([
    {
      ...{ kind: 'fault', unit: 'u0', write: true, iova: 0x1000n, code: 5 },
      device: { kind: 'device', id: '0000:00:04.0', born: undefined },
      reason: 'no write permission',
      text: 'u0: 0000:00:04.0: write at 0x1000: no write permission',
    },
  ]);
});
test('a requester nobody knows is named by its place on the bus', () => {
  const events = faultsOf((by) => {
    by.requesters.disconnect(0x20);
    reportFault(by, { ...FAULT, pasid: 7, write: false, text: 'a line of the driver' });
  });
  expect(events).toMatchObject([
    { pasid: 7, device: { kind: 'requester', id: '00:04.0' }, text: 'a line of the driver' },
  ]);
});
