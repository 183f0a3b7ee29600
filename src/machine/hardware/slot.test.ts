import { describe, expect, test } from 'vitest';
import { Bug } from '../../base/bug.ts';
import { must } from '../../testing/base/must.ts';
import { createMachine } from '../create-machine.ts';

const AT = '0000:00:04.0';
/** DevCtl in the PCIe capability, and its bit that starts an FLR. */
const CAP_EXP = 0x10;
const DEVCTL = 8;
const FLR = 0x8000;

/** A machine with one device that has ATS and PRI, both switched on. */
function machineWithAts() {
  const options = { ats: true, pri: true, pasid_bits: 20 };
  const made = createMachine({
    iommus: [{ type: 'intel', pageRequests: true }],
    devices: [{ type: 'generic', at: AT, options }],
  });
  if ('problems' in made) throw new Bug(made.problems.map((p) => p.message).join('; '));
  const { machine } = made;
  const { slot, fn } = machine.pci.device(AT)!;
  fn.enablePageRequests(true);
  const { requesterId } = slot.dma;
  const { unit } = slot.iommu!;
  const request = { requesterId, pasid: -1, iovaG: 1 };
  return {
    machine,
    fn,
    /** Does the unit answer the device? */
    answers: () => ({
      ats: unit.request({ ...request, access: 'ats' }).outcome !== 'unsupported',
      pages: unit.requestPage(
        { ...request, read: true, write: false, last: true, group: 0 },
        () => undefined,
      ),
    }),
    switches: () => ({ ats: fn.atsEnabled, pages: fn.pageRequestsEnabled }),
  };
}

const ON = { ats: true, pages: true };
const OFF = { ats: false, pages: false };

describe('ATS and page requests are on where the function says so', () => {
  test('an FLR by a program that writes configuration space ends both, for the unit too', () => {
    const { machine, fn, answers, switches } = machineWithAts();
    expect([switches(), answers()]).toEqual([ON, ON]);
    const program = machine.program();
    const fd = must(program.open(`/sys/bus/pci/devices/${AT}/config`));
    const at = BigInt(fn.config.capability(CAP_EXP) + DEVCTL);
    expect(program.write(fd, Uint8Array.of(0, FLR >> 8), at)).toBe(2);
    expect([switches(), answers()]).toEqual([OFF, OFF]);
  });
  test('a reset by the kernel, which puts configuration back, leaves both on', () => {
    const { fn, answers, switches } = machineWithAts();
    expect(fn.resetFunction()).toBeUndefined();
    expect([switches(), answers()]).toEqual([ON, ON]);
  });
  test('what software switches off in the function is off in the unit', () => {
    const { fn, answers } = machineWithAts();
    fn.enableAts(false);
    expect(answers()).toEqual({ ats: false, pages: true });
    fn.enablePageRequests(false);
    expect(answers()).toEqual(OFF);
    fn.enableAts(true);
    expect(answers()).toEqual({ ats: true, pages: false });
  });
});
