import { expect, test } from 'vitest';
import { UserMistake } from '../user-mistake.ts';
import { topologyCommand } from './topology.ts';

test.each([
  [['--print'], '--print'],
  [['--machine', 'preset:default'], '--machine'],
  [['--device', 'edu', '--iommu', 'intel'], '--device, --iommu'],
  [['--nodefaults'], '--nodefaults'],
])('--from goes not with %s', async (flags, names) => {
  const command = topologyCommand().parseAsync(['--from', '/nowhere', ...flags], { from: 'user' });
  await expect(command).rejects.toThrow(
    new UserMistake(
      `--from makes a machine file of a real machine and goes with no other option, such as ${names}; ` +
        'write the file first, and give it to --machine',
    ),
  );
});
