/** What a trace shows of a command is what /dev/iommu handles. */
import { expect, test } from 'vitest';
import type { Fields, Struct } from '../../src/base/struct.ts';
import { openIommufd, IOCTLS } from '../../src/iommufd/main.ts';
import { decodeIoctl } from '../../src/uapi/decode.ts';
import * as iommufd from '../../src/uapi/iommufd.ts';
import { IOMMU_TEST_CMD, iommu_test_cmd } from '../../src/uapi/iommufd-test.ts';
import { ARG } from '../../src/testing/iommufd/process.ts';
import { World } from '../../src/testing/iommufd/world.ts';

test('every command of /dev/iommu is shown by its name, with the struct it is handled with', () => {
  const header: Readonly<Record<string, unknown>> = { ...iommufd, IOMMU_TEST_CMD, iommu_test_cmd };
  const world = new World();
  const file = openIommufd(world.subsystem);
  const task = world.task();
  for (const { command, struct } of IOCTLS) {
    const shown = decodeIoctl(file, task, command, ARG)!;
    expect(header[shown.command]).toBe(command);
    const fields = Object.keys((header[struct] as Struct<Fields>).offsets);
    expect(Object.keys(shown.args ?? {})).toEqual(fields.filter((name) => !name.startsWith('__')));
  }
});
