/** A device that asks for more pages than software has thought of: `-e device=…:page-requests`. */
import { expect, test } from 'vitest';
import { done, must } from '../../testing/base/must.ts';
import { Client } from '../../testing/machine/client.ts';
import { createMachine } from '../../machine/create-machine.ts';
import * as i from '../../uapi/iommufd.ts';
import * as uapi from '../../uapi/vfio.ts';
import { FaultInjector } from './fault-injector.ts';
import { parseFaultPlan } from './parse.ts';

const BDF = '0000:00:05.0';
const IOVA = 0x10_0000n;
const FAULT_BYTES = 40;

/** A device whose page requests go to a queue, where one page is mapped. */
function asking(expression: string, queued = true) {
  const plan = parseFaultPlan([expression]);
  if ('problem' in plan) throw new Error(plan.problem);
  const injector = new FaultInjector(plan);
  const made = createMachine(
    {
      iommus: [{ type: 'intel', pageRequests: true }],
      devices: [{ type: 'ats-testdev', at: BDF, options: { pasid_bits: 20 } }],
    },
    { faults: injector.policies },
  );
  if ('problems' in made) throw new Error(JSON.stringify(made.problems));
  const program = new Client(made.machine);
  const iommufd = must(program.open('/dev/iommu'));
  const device = must(program.open('/dev/vfio/devices/vfio0'));
  const bind = { iommufd };
  const { out } = program.call(
    device,
    uapi.VFIO_DEVICE_BIND_IOMMUFD,
    uapi.vfio_device_bind_iommufd,
    bind,
  );
  const ioas = program.call(iommufd, i.IOMMU_IOAS_ALLOC, i.iommu_ioas_alloc, { size: 12 });
  const pt_id = ioas.out.out_ioas_id;
  must(
    program.call(iommufd, i.IOMMU_IOAS_MAP, i.iommu_ioas_map, {
      ...{ size: 40, flags: 7, ioas_id: pt_id, iova: IOVA, length: 0x1000n },
      user_va: program.memory(0x1000),
    }).rc,
  );
  const queue = program.call(iommufd, i.IOMMU_FAULT_QUEUE_ALLOC, i.iommu_fault_alloc, { size: 16 });
  const flags = queued ? i.IOMMU_HWPT_FAULT_ID_VALID : 0;
  const hwpt = program.call(iommufd, i.IOMMU_HWPT_ALLOC, i.iommu_hwpt_alloc, {
    ...{ size: i.iommu_hwpt_alloc.size, flags, dev_id: out.out_devid, pt_id },
    fault_id: queued ? queue.out.out_fault_id : 0,
  });
  const attach = { pt_id: hwpt.out.out_hwpt_id };
  const type = uapi.vfio_device_attach_iommufd_pt;
  must(program.call(device, uapi.VFIO_DEVICE_ATTACH_IOMMUFD_PT, type, attach).rc);
  must(program.pwrite(device, (7n << 40n) + 4n, Uint8Array.of(6, 0)));
  const { dma } = made.machine.pci.device(BDF)!.slot;
  const asked = (): number => {
    const bytes = new Uint8Array(1024 * FAULT_BYTES);
    return must(program.program.read(queue.out.out_fault_fd, bytes)) / FAULT_BYTES;
  };
  return { dma, asked, counts: () => injector.counts.map(({ met, done: n }) => [met, n]) };
}

test.each([
  ['page-requests', 256],
  ['page-requests=40', 40],
])('%s: so many are told to the program, and the transfer goes on', (fault, count) => {
  const { dma, asked, counts } = asking(`device=${BDF}:${fault}:when=2`);
  done(dma.write(IOVA, Uint8Array.of(1)));
  done(dma.write(IOVA, Uint8Array.of(1)));
  expect(asked()).toBe(count);
  expect(counts()).toEqual([[2, 1]]);
});
test('a device that may not ask for pages asks for none, and the rule was never met', () => {
  const { dma, counts } = asking(`device=${BDF}:page-requests`, false);
  done(dma.write(IOVA, Uint8Array.of(1)));
  expect(counts()).toEqual([[0, 0]]);
});
