/** User data and a device of the kernel's selftest, for the tests of the mock driver. */
import { E2BIG, EINVAL } from '../../base/errno.ts';
import { refuse } from '../../base/refuse.ts';
import type { Device, UserArray, UserData } from '../../core/index.ts';
import { createMockDriver, type MockDriver } from '../../drivers/mock/index.ts';
import { must } from '../base/must.ts';
import { newCore } from '../core/rig.ts';

export const SELFTEST = 0xdead;
export const VIOMMU = 0xdeadbeef;

export function words(...values: number[]): Uint8Array {
  return new Uint8Array(new Uint32Array(values).buffer);
}
export function userData(type: number, bytes: Uint8Array): UserData {
  return { type, length: bytes.length, copy: () => bytes };
}
export function data(type: number, ...values: number[]): UserData {
  return userData(type, words(...values));
}
export function array(type: number, ...entries: number[][]): UserArray {
  return {
    type,
    entryLength: (entries[0]?.length ?? 0) * 4,
    entryCount: entries.length,
    entry(index, size, minSize) {
      const bytes = words(...entries[index]!);
      if (bytes.length < minSize) return refuse(EINVAL, 'too short');
      if (bytes.length > size) return refuse(minSize > 0 ? EINVAL : E2BIG, 'too long');
      const full = new Uint8Array(size);
      full.set(bytes);
      return full;
    },
  };
}

/** One device behind the driver as the selftest has it. */
export function selftest(noDirty = false): { mock: MockDriver; dev: Device } {
  const core = newCore();
  const mock = createMockDriver(core);
  must(mock.registerInstance());
  const dev = mock.addDevice({
    config: { name: 'mock0', bus: 'platform', pasidBits: 20 },
    knobs: { noDirty },
  });
  return { mock, dev };
}
