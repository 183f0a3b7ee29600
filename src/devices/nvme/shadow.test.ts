/** Doorbells in memory: what a host need not ring for, and what it is told to ring for. */
import { expect, test } from 'vitest';
import { AT, NvmeRig, runningNvme } from '../../testing/devices/nvme-rig.ts';

const [DOORBELLS, EVENTS] = [0x38_0000, 0x38_1000];

function shadowed(): NvmeRig {
  const rig = runningNvme({ doorbell_buffer: true });
  rig.must({ opcode: 0x7c, prp1: DOORBELLS, prp2: EVENTS });
  return rig;
}
/** The host fills entries and writes the tail to memory; true: it has to ring, as Linux decides it. */
function fill(rig: NvmeRig, count: number): boolean {
  const old = rig.words.getUint32(DOORBELLS + 8, true);
  for (let n = 0; n < count; n++) rig.fill(1, { opcode: 2, nsid: 1, prp1: AT.data });
  rig.words.setUint32(DOORBELLS + 8, old + count, true);
  const event = rig.words.getUint32(EVENTS + 8, true);
  return ((old + count - event - 1) & 0xffff) < count;
}

test('what was written to memory counts, whatever was rung', () => {
  const rig = shadowed();
  expect(fill(rig, 1)).toBe(true);
  rig.ring(1);
  fill(rig, 2);
  expect(rig.reap(1)).toHaveLength(3);
});
test('after everything is fetched the next one is to be rung for', () => {
  const rig = shadowed();
  fill(rig, 3);
  rig.ring(1);
  rig.reap(1);
  expect(rig.words.getUint32(EVENTS + 8, true)).toBe(3);
  expect(fill(rig, 1)).toBe(true);
});
test('heads are read from memory', () => {
  const rig = new NvmeRig({ doorbell_buffer: true });
  rig.enable();
  rig.addQueues(1, 4);
  rig.must({ opcode: 0x7c, prp1: DOORBELLS, prp2: EVENTS });
  fill(rig, 3);
  rig.ring(1);
  expect(rig.reap(1, true)).toHaveLength(3);
  rig.words.setUint32(DOORBELLS + 8, 2, true);
  rig.fill(1, { opcode: 2, nsid: 1, prp1: AT.data });
  rig.fill(1, { opcode: 2, nsid: 1, prp1: AT.data });
  rig.fill(1, { opcode: 2, nsid: 1, prp1: AT.data });
  rig.ring(1);
  expect(rig.reap(1, true)).toHaveLength(0);
  // The host has looked, and does not ring.
  rig.words.setUint32(DOORBELLS + 12, 3, true);
  rig.port.clock.advance(2e6);
  expect(rig.reap(1, true)).toHaveLength(3);
});
test('a restored controller goes on with them', () => {
  const rig = shadowed();
  const other = new NvmeRig({ doorbell_buffer: true });
  other.port.memory.set(rig.port.memory);
  other.device.restore(structuredClone(rig.device.state()));
  expect(other.device.state()).toEqual(rig.device.state());
});
test('they are refused where there are none, or at no page', () => {
  const set = { opcode: 0x7c, prp1: DOORBELLS, prp2: EVENTS };
  expect(runningNvme().admin(set).status).toBe(0x4001);
  const rig = runningNvme({ doorbell_buffer: true });
  expect(rig.admin({ ...set, prp1: DOORBELLS + 8 }).status).toBe(0x4002);
  rig.must({ opcode: 6, prp1: AT.data, dwords: [1] });
  expect(rig.words.getUint16(AT.data + 256, true)).toBe(0x102);
  const effects = [runningNvme(), rig].map((each) => {
    each.must({ opcode: 2, prp1: AT.data, dwords: [0x3ff_0005] });
    return [0x06, 0x7c, 0x80].map((opcode) => each.words.getUint32(AT.data + 4 * opcode, true));
  });
  expect(effects).toEqual([
    [1, 0, 3],
    [1, 1, 3],
  ]);
});
test('memory that is not there is as if nothing had been written to it', () => {
  const rig = runningNvme({ doorbell_buffer: true });
  rig.must({ opcode: 0x7c, prp1: 0x40_0000, prp2: 0x40_1000 });
  expect(rig.transfer(2, 0, 1)).toBe(0);
});
