/** Random programs on the devices of the mock driver (programs.ts). */
import { expect, test } from 'vitest';
import { isErrno } from '../../../src/base/errno.ts';
import { ioasAlloc, map, mockDomain } from '../../../src/testing/iommufd/calls.ts';
import { BUFFER } from '../../../src/testing/iommufd/process.ts';
import { World } from '../../../src/testing/iommufd/world.ts';
import { Coverage } from './coverage.ts';
import { PRELUDES } from './preludes.ts';
import { testRandomPrograms } from './programs.ts';
import { MOCK_COMMANDS } from './steps.ts';

const MOCK = { units: [undefined], commands: MOCK_COMMANDS, preludes: PRELUDES.mock };

testRandomPrograms('mock devices', MOCK, new Coverage());

test('a failure at any point of a map or attach leaves the same ids free', () => {
  for (let nth = 1; ; nth++) {
    const world = new World();
    const fd = world.open();
    let count = 0;
    ioasAlloc(fd);
    fd.task.failing = () => ++count === nth;
    const mapped = map(fd, 1, BUFFER, 0x4000n, 0x100_0000n);
    const made = mockDomain(fd, 1);
    const failed = [mapped, made].some(isErrno);
    fd.task.failing = undefined;
    if (isErrno(made)) expect(mockDomain(fd, 1)).toMatchObject({ stdev: 2, idev: 3, hwpt: 4 });
    fd.close();
    expect(world.frames.totalPins).toBe(0);
    if (!failed) {
      expect(nth).toBeGreaterThan(3);
      return;
    }
  }
});
