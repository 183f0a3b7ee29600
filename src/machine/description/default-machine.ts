/** The preset 'default', checked. Written by scripts/gen-machine-file.ts. */
import type { MachineDescription } from './description.ts';

/** A machine without a description is this one. */
export const DEFAULT_MACHINE: MachineDescription = {
  name: 'machine',
  kernel: { version: '7.3', with: ['test-dev', 'aux-domains'], without: [] },
  ramMiB: 256,
  iommus: [{ type: 'intel' }],
  devices: [
    {
      type: 'edu',
      at: '0000:00:04.0',
      options: {},
      acs: true,
      directRegions: [],
      aliases: [],
      devices: [],
    },
  ],
  plugins: [],
  blocks: {},
  wires: {},
};
