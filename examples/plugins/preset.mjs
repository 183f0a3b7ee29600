// Machines with names of one's own: --machine preset:two-edus.
import { definePlugin } from 'softiommu/plugin';

export default definePlugin({
  name: 'my machines',
  presets: {
    'two-edus': {
      summary: 'two edu devices in groups of their own',
      machine: {
        devices: [
          { type: 'edu', at: '0000:00:04.0' },
          { type: 'edu', at: '0000:00:05.0' },
        ],
      },
    },
  },
});
