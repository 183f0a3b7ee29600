import { describe, expect, test } from 'vitest';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parseDescription } from '../../machine/description/description-check.ts';
import { Machine } from '../../machine/machine.ts';
import { KNOWN, parseMachineText } from '../machine-file.ts';
import { machineOf } from './description.ts';
import { functionsOfLspci } from './lspci-text.ts';
import { machineTextFrom } from './made-text.ts';

const CONTEXT = { schema: './m.json', types: KNOWN };
const file = (name: string): string =>
  fileURLToPath(new URL(`../../../test/machines/${name}.txt`, import.meta.url));

describe('the machine file of a real machine is read back as the same machine, and one can be built', () => {
  test.each(['laptop', 'server', 'sriov-nic'])('%s', (name) => {
    const text = machineTextFrom(file(name), CONTEXT);
    const found = functionsOfLspci(readFileSync(file(name), 'utf8'), 'x');
    const back = parseDescription(parseMachineText(text, 'made').input, KNOWN);
    expect(back).toEqual({ description: machineOf(found, KNOWN, 'x').machine });
    if ('problems' in back) return;
    const machine = new Machine(back.description, {
      deviceTypes: KNOWN.devices,
      iommuTypes: KNOWN.iommus,
    });
    expect(machine).toBeInstanceOf(Machine);
  });
});

test('what was left out and what is known of a device is said in comments', () => {
  const text = machineTextFrom(file('sriov-nic'), CONTEXT);
  expect(text).toContain('# Left out:\n#   0000:03:01.2 Mellanox Technologies');
  expect(text).toContain('# its BARs are those of the model\n');
  expect(text).toContain('# 8 virtual functions are possible; here 7\n');
  expect(text).toContain('vendor: 0x15b3\n');
});
