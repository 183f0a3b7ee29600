/** Random programs on devices of VFIO behind a VT-d unit, with the mock's beside them (programs.ts). */
import { expect, test } from 'vitest';
import { IOCTLS } from '../../../src/iommufd/main.ts';
import * as selftest from '../../../src/uapi/iommufd-test.ts';
import * as vfio from '../../../src/uapi/vfio.ts';
import { SEED } from '../../random-seed.ts';
import { Coverage } from './coverage.ts';
import { UNIT_NAMES } from './hardware.ts';
import { PRELUDES } from './preludes.ts';
import { testRandomPrograms, type Kind } from './programs.ts';
import { Scene } from './scene.ts';
import { COMMANDS } from './steps.ts';

const EVERYTHING: Kind = {
  units: ['scalable', 'scalable', ...UNIT_NAMES],
  commands: COMMANDS,
  preludes: PRELUDES.everything,
};
const coverage = new Coverage();

testRandomPrograms('devices of VFIO and mock ones', EVERYTHING, coverage);

test('every prelude gets where it wants to', () => {
  for (const { steps } of PRELUDES.everything) {
    const scene = new Scene(new Coverage(), 'scalable');
    for (const step of steps) {
      expect([step.name, scene.run({ task: 0, context: 0, step })]).toEqual([step.name, true]);
    }
    scene.close();
  }
});

test('every command is among the random ones, has worked and has failed', () => {
  if (process.env['SOFTIOMMU_RANDOM_SHOW']) console.log(`seed ${SEED}, ${coverage.toString()}`);
  const numbers = new Set(COMMANDS.map(({ cmd }) => cmd));
  const names = new Set(COMMANDS.map(({ name }) => name));
  const ioctls = IOCTLS.map(({ command }) => command).filter((cmd) => cmd !== 0x3ba0);
  expect(ioctls.filter((cmd) => !numbers.has(cmd))).toEqual([]);
  const operations = Object.keys(selftest).filter((name) => name.startsWith('IOMMU_TEST_OP_'));
  const ofVfio = Object.keys(vfio).filter((name) =>
    /^VFIO_(GET_API|CHECK_EXT|SET_IOMMU|IOMMU_(GET_INFO|(UN)?MAP_DMA|DIRTY_PAGES)|DEVICE_\w+_IOMMUFD|GROUP_(GET|SET|UNSET))(?!.*_FLAG)/.test(
      name,
    ),
  );
  expect([...operations, ...ofVfio].filter((name) => !names.has(name))).toEqual([]);
  expect(coverage.missing(COMMANDS)).toEqual([]);
});
