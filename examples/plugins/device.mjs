// A device of one's own: it counts the loads of its only register.
import { definePlugin } from 'softiommu/plugin';

const counter = {
  type: 'counter',
  summary: 'counts the loads of its register',
  options: { start: { kind: 'integer', default: 0, max: 100, help: 'the first value' } },
  identity: () => ({
    vendor: 0x1234,
    device: 0xc001,
    revision: 0,
    classCode: 0x08_80_00,
    bars: [{ index: 0, size: 4096, kind: 'mem32' }],
    interruptPin: 0,
  }),
  create(_port, { start }) {
    let count = BigInt(start);
    return {
      powerOn: () => void (count = BigInt(start)),
      reset: () => void (count = BigInt(start)),
      mmioRead: (_bar, _offset, width) => BigInt.asUintN(8 * width, count++),
      mmioWrite: () => undefined,
      state: () => ({ count }),
      restore: (state) => void (count = state.count),
    };
  },
};

export default definePlugin({ name: 'counter', devices: [counter] });
