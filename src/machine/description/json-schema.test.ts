import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import * as z from 'zod';
import { KNOWN_TYPES } from '../machine.ts';
import { machineJsonSchema } from './json-schema.ts';
import { PRESETS } from './presets.ts';

const schema = machineJsonSchema(KNOWN_TYPES);
const device = schema.$defs?.['device'];

describe('the JSON Schema of machine files', () => {
  test('the JSON Schema of machine files is the one that is shipped', () => {
    const shipped = readFileSync(
      new URL('../../../schema/machine.schema.json', import.meta.url),
      'utf8',
    );
    expect(JSON.parse(shipped)).toEqual(JSON.parse(JSON.stringify(schema)));
  });
  test.each(Object.keys(PRESETS))('the JSON Schema of machine files takes preset:%s', (name) => {
    expect(readBackWithoutOptions().safeParse(PRESETS[name]!.machine).error).toBeUndefined();
  });
  test('the JSON Schema of machine files knows the options of every device model, and no others', () => {
    const types = device?.allOf ?? [];
    expect(types.map(({ if: condition }) => condition)).toEqual(
      [...KNOWN_TYPES.devices.keys()].map((type) => ({ properties: { type: { const: type } } })),
    );
    const edu = types[[...KNOWN_TYPES.devices.keys()].indexOf('edu')];
    expect(edu?.then).toMatchObject({
      properties: {
        options: { properties: { pcie: { default: false } }, additionalProperties: false },
      },
    });
  });
  test('the JSON Schema of machine files explains every key of a device', () => {
    const keys = Object.entries(device?.properties ?? {});
    expect(keys.filter(([, key]) => !(typeof key === 'object' && key.description))).toEqual([]);
  });
});

/** zod reads no conditions back. */
function readBackWithoutOptions(): z.ZodType {
  const plain = { ...schema, $defs: { device: { ...device, allOf: undefined } } };
  return z.fromJSONSchema(
    JSON.parse(JSON.stringify(plain)) as Parameters<typeof z.fromJSONSchema>[0],
  );
}
