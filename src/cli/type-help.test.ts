import { describe, expect, test } from 'vitest';
import { KNOWN } from './machine-file.ts';
import { typeHelp } from './type-help.ts';

describe('help of the types', () => {
  test('is given where a flag asks for it, and only there', () => {
    expect(typeHelp({}, KNOWN)).toBeUndefined();
    expect(
      typeHelp({ device: ['edu', 'edu,bdf=0000:00:05.0'], iommu: ['intel'] }, KNOWN),
    ).toBeUndefined();
  });
  test('lists every type with its summary', () => {
    const lines = typeHelp({ device: ['help'] }, KNOWN)!
      .trimEnd()
      .split('\n');
    expect(lines.map((line) => line.split(' ')[0])).toEqual([...KNOWN.devices.keys()].sort());
    for (const { type, summary } of KNOWN.devices.values()) {
      expect(lines.find((line) => line.startsWith(`${type} `))).toContain(summary);
    }
    expect(typeHelp({ iommu: ['help'] }, KNOWN)).toMatch(/^amd|^intel/m);
  });
  test.for([...KNOWN.devices.keys()])('tells every option of %s with its range', (name) => {
    const text = typeHelp({ device: [`${name},help`] }, KNOWN)!;
    const type = KNOWN.devices.get(name)!;
    expect(text).toContain(`${name}: ${type.summary}`);
    for (const [key, { help }] of Object.entries(type.options)) {
      expect(text).toMatch(new RegExp(`^${key}= `, 'm'));
      expect(text).toContain(help);
    }
  });
  test('says ranges as they are checked', () => {
    const text = typeHelp({ device: ['virtio-blk,help'] }, KNOWN)!;
    expect(text).toMatch(/^queues= +1 to 64 +4 +request queues$/m);
    expect(text).toMatch(/^block_size= +512, 4096 +512 /m);
    expect(text).toMatch(/^bdf= +DDDD:BB:DD\.F +the first free /m);
    expect(typeHelp({ iommu: ['intel,help'] }, KNOWN)).toMatch(/^width= +39, 48, 57 /m);
  });
  test('of a type that is not there is a mistake', () => {
    expect(() => typeHelp({ device: ['nope,help'] }, KNOWN)).toThrow(
      /--device nope,help: unknown type 'nope'; allowed: .*edu/,
    );
  });
});
