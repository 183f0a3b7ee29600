/** Every preset as `softiommu topology` prints it, and the groups that core.md 2.3 demands of it. */
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { topologyText } from '../src/cli/topology-text.ts';
import { Machine, PRESETS } from '../src/index.ts';

/** Functions that share a group, by preset. What is not named is alone. */
const TOGETHER: Record<string, string[][]> = {
  // A multifunction endpoint without ACS is one group.
  multifunction: [['0000:01:00.0', '0000:01:00.1']],
  workstation: [['0000:01:00.0', '0000:01:00.1']],
  'not-viable': [['0000:01:00.0', '0000:01:00.1']],
  // Everything behind the bridge has the bridge's requester id.
  'pcie-to-pci-bridge': [['0000:01:00.0', '0000:02:04.0', '0000:02:05.0']],
  // Ports without ACS merge everything below them, and themselves.
  'switch-without-acs': [
    [
      '0000:00:01.0',
      '0000:01:00.0',
      '0000:02:00.0',
      '0000:02:01.0',
      '0000:03:00.0',
      '0000:04:00.0',
    ],
  ],
};

function partition(machine: Machine): string[][] {
  const groups = new Map<number, string[]>();
  for (const { groupId, address } of machine.devices) {
    if (groupId !== undefined) groups.set(groupId, [...(groups.get(groupId) ?? []), address]);
  }
  return [...groups.values()].filter((members) => members.length > 1);
}

describe.each(Object.keys(PRESETS))('preset:%s', (name) => {
  test('the topology prints as recorded', () => {
    const golden = readFileSync(new URL(`golden/topology/${name}.txt`, import.meta.url), 'utf8');
    expect(topologyText({ machine: `preset:${name}` })).toBe(golden);
  });
  test('the topology is grouped by the rules', () => {
    expect(partition(new Machine(`preset:${name}`))).toEqual(TOGETHER[name] ?? []);
  });
});
