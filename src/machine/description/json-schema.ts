/**
 * The JSON Schema of machine files, for editors: the shape of a description, with the options of every device model.
 *
 * It knows shapes, as description.ts does; whether such hardware can exist is checked when the file is read.
 */
import * as z from 'zod';
import type { DeviceType } from '../../devices/port.ts';
import { machineShape } from './description.ts';
import type { DeviceTypes, HardwareTypes } from './entries.ts';
import { BRIDGE_TYPES } from './names.ts';
import { optionSchema } from './options.ts';

/** A JSON Schema document. */
export type JsonSchema = z.core.JSONSchema.BaseSchema;

/** What may be written in a machine file: keys with a default may be left out. */
export function machineJsonSchema(types: HardwareTypes): JsonSchema {
  return z.toJSONSchema(machineShape(types.iommus), {
    io: 'input',
    override: ({ jsonSchema }) => {
      if (jsonSchema.id === 'device') addDeviceTypes(jsonSchema, types.devices);
    },
  });
}

/** The types there are, and for each of them its options: a description takes any, the check afterwards does not. */
function addDeviceTypes(device: JsonSchema, types: DeviceTypes): void {
  const { type, ...rest } = device.properties ?? {};
  const names = [...types.keys(), ...BRIDGE_TYPES];
  device.properties = { type: { ...asObject(type), enum: names }, ...rest };
  device.allOf = [...types.values()].map((each) => ({
    if: { properties: { type: { const: each.type } } },
    then: { properties: { options: optionsSchema(each) } },
  }));
}

function optionsSchema({ type, options }: DeviceType): JsonSchema {
  const properties = Object.fromEntries(
    Object.entries(options).map(([key, option]) => [key, optionSchema(option)]),
  );
  return { description: `options of ${type}`, properties, additionalProperties: false };
}

function asObject(schema: JsonSchema | boolean | undefined): JsonSchema {
  return typeof schema === 'object' ? schema : {};
}
