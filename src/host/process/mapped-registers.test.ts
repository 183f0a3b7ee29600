/** What is mapped of devices, by kernels that answer a question about one address and by those that do not. */
import { expect, test } from 'vitest';
import type { MmioWindow } from '../../base/file.ts';
import type { MapsLine } from '../sys/map-query.ts';
import type { AddressSpace } from './address-space.ts';
import { MappedRegisters, type RegisterParts } from './mapped-registers.ts';

const CALLER = { tid: 1, pid: 1 };
const WINDOW = {} as MmioWindow; // cast: nothing of it is asked
const LINE = { start: 16, end: 17, readable: true, writable: false } as MapsLine; // cast: the rest does not matter

/** Registers are mapped, by a kernel that says so itself or leaves it to a reading of all of /proc/…/maps. */
function registersOf(line: MapsLine, kernelAnswers: boolean, storesFault: boolean) {
  const space = { maps: { query: () => (kernelAnswers ? line : 'unknown') } };
  return new MappedRegisters({
    machine: { syscalls: {} as RegisterParts['machine']['syscalls'] },
    processes: { space: () => space as unknown as AddressSpace },
    map: { find: () => line },
    files: {
      hasRegisters: true,
      isMemory: () => false,
      windowOf: () => ({ window: WINDOW, offset: 0, ...(storesFault && { storesFault }) }),
    },
    loans: { windowOf: () => undefined },
  });
}

test.for([
  ['a kernel that answers', true],
  ['one before 6.11', false],
] as const)('by %s, what the program has mapped for both is stored to', ([, answers]) => {
  const writable = (line: MapsLine, storesFault: boolean): boolean | undefined =>
    registersOf(line, answers, storesFault).mapping(CALLER, 16)?.writable;
  expect(writable(LINE, true)).toBe(true);
  expect(writable({ ...LINE, readable: false }, true)).toBe(false);
  expect(writable(LINE, false)).toBe(false);
  expect(writable({ ...LINE, writable: true }, false)).toBe(true);
});
