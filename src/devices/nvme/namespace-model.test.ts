/** Random commands against plain bytes: whatever a host does, a namespace is what the model says. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { AT, runningNvme, type NvmeRig } from '../../testing/devices/nvme-rig.ts';

const BLOCKS = 2048;
/** A transfer has at most so many blocks. */
const MOST = 24;

interface Step {
  readonly what: 'write' | 'read' | 'zero' | 'trim' | 'compare' | 'bad' | 'reset';
  readonly slba: number;
  readonly blocks: number;
  readonly fill: number;
  /** Bytes into a page. */
  readonly offset: number;
}
const step: fc.Arbitrary<Step> = fc.record({
  what: fc.constantFrom(
    'write',
    'write',
    'read',
    'read',
    'zero',
    'trim',
    'compare',
    'bad',
    'reset',
  ),
  // Near each other, so that they meet, and some at the end.
  slba: fc.oneof(fc.nat(60), fc.integer({ min: BLOCKS - 30, max: BLOCKS + 2 })),
  blocks: fc.integer({ min: 1, max: MOST }),
  fill: fc.integer({ min: 1, max: 255 }),
  offset: fc.nat(1023).map((n) => 4 * n),
});

/** A command with data through scattered pages: every second one, so that none can be taken for the next. */
function withPages(rig: NvmeRig, opcode: number, { slba, blocks, offset }: Step): number {
  const pages = Array.from({ length: 5 }, (_, n) => AT.data + 0x2000 * n);
  pages.slice(1).forEach((page, n) => rig.words.setBigUint64(AT.list + 8 * n, BigInt(page), true));
  const isListed = 512 * blocks + offset > 0x2000;
  return rig.io({
    opcode,
    prp1: pages[0]! + offset,
    prp2: isListed ? AT.list : pages[1]!,
    dwords: [slba, 0, blocks - 1],
  });
}
/** The bytes of the data, in their order, as indexes of memory. */
function places({ blocks, offset }: Step): number[] {
  return Array.from({ length: 512 * blocks }, (_, n) => {
    const at = n + offset;
    return AT.data + 0x2000 * Math.floor(at / 0x1000) + (at % 0x1000);
  });
}

/** What a command does to the controller and to the model, and that they agree on it. */
type Run = (rig: NvmeRig, model: Uint8Array, step: Step) => void;

const isInside = ({ slba, blocks }: Step): boolean => slba + blocks <= BLOCKS;
const expected = (step: Step): number => (isInside(step) ? 0 : 0x4080);
const part = (model: Uint8Array, { slba, blocks }: Step): Uint8Array =>
  model.subarray(512 * slba, 512 * (slba + blocks));

const RUNS: Readonly<Record<Step['what'], Run>> = {
  reset(rig) {
    rig.device.reset('flr');
    rig.enable();
    rig.addQueues(1);
  },
  bad(rig, _model, { slba }) {
    expect(rig.io({ opcode: 1, prp1: 0x40_0000, dwords: [slba] })).not.toBe(0);
  },
  write(rig, model, step) {
    const data = Uint8Array.from({ length: 512 * step.blocks }, (_, n) => step.fill + n);
    places(step).forEach((at, n) => (rig.port.memory[at] = data[n]!));
    expect(withPages(rig, 1, step)).toBe(expected(step));
    if (isInside(step)) part(model, step).set(data);
  },
  read(rig, model, step) {
    expect(withPages(rig, 2, step)).toBe(expected(step));
    const got = Uint8Array.from(places(step), (at) => rig.port.memory[at]!);
    if (isInside(step)) expect(Buffer.compare(got, part(model, step))).toBe(0);
  },
  compare(rig, model, step) {
    const { memory } = rig.port;
    places(step).forEach((at, n) => (memory[at] = model[512 * step.slba + n] ?? 0));
    const isDifferent = step.fill > 128;
    if (isDifferent) memory[places(step)[step.fill]!]! ^= 1;
    const status = isDifferent ? 0x4285 : 0;
    expect(withPages(rig, 5, step)).toBe(isInside(step) ? status : 0x4080);
  },
  zero(rig, model, step) {
    expect(rig.io({ opcode: 8, dwords: [step.slba, 0, step.blocks - 1] })).toBe(expected(step));
    if (isInside(step)) part(model, step).fill(0);
  },
  trim(rig, model, step) {
    rig.range(AT.list, step.slba, step.blocks);
    expect(rig.io({ opcode: 9, prp1: AT.list, dwords: [0, 4] })).toBe(expected(step));
    if (isInside(step)) part(model, step).fill(0);
  },
};

test('random commands', () => {
  fc.assert(
    fc.property(fc.array(step, { minLength: 1, maxLength: 40 }), (steps) => {
      const rig = runningNvme({ size_mib: 1 });
      const model = new Uint8Array(512 * BLOCKS);
      for (const each of steps) RUNS[each.what](rig, model, each);
      for (let slba = 0; slba < 128; slba += MOST) {
        RUNS.read(rig, model, { what: 'read', slba, blocks: MOST, fill: 1, offset: 0 });
      }
    }),
    { numRuns: 60 },
  );
});
