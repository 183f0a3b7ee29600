/**
 * The description of a machine as plain data: what a YAML file, a preset or a program says of the hardware and kernel.
 *
 * This file knows shapes; whether such hardware can exist is checked in description-check.ts. Every problem names its
 * place and what would be allowed. What a key means is said here once: the JSON Schema, the manual and
 * `softiommu topology --print` quote it.
 */
import * as z from 'zod';
import { VERSION_FORM } from '../../base/kernel-release.ts';
import type { Option, OptionValue } from '../../base/options.ts';
import type { IommuType } from '../../drivers/iommu-type.ts';
import type { IommuTypes } from '../../drivers/types.ts';
import { DRIVER_NAMES } from './names.ts';
import { BAR_ACCESS, type BarWish } from './bar-wishes.ts';
import { BLOCK_KEYS, blockShape } from './blocks.ts';
import { WIRE_KEYS, wireShape } from './wires.ts';
import { isAllowed, notAllowedValue, optionSchema } from './options.ts';
import { DEFAULT_KERNEL, TRAIT_NAMES } from './releases.ts';
import {
  must,
  notAllowed,
  OUR_WORDS,
  shapeProblems,
  valueAt,
  type Problem,
  type Shape,
} from './shape-problems.ts';

const trait = z.enum(TRAIT_NAMES);

const A_BAR_WISH =
  "trap, plain or none, or one of them by the index of a BAR, such as { '0': plain }";

const barWish = z.union(
  [z.enum(BAR_ACCESS), z.partialRecord(z.enum(['0', '1', '2', '3', '4', '5']), z.enum(BAR_ACCESS))],
  { error: ({ input }) => must(A_BAR_WISH, input) },
);

const A_VERSION = `a version of Linux in quotes, such as '6.12' or '6.8.0-45-generic'`;

const kernel = z
  .strictObject({
    version: z
      .string({ error: ({ input }) => must(A_VERSION, input) })
      .regex(VERSION_FORM, { error: ({ input }) => must(A_VERSION, input) })
      .default(DEFAULT_KERNEL.version)
      .describe(
        'version of Linux it behaves as: a known release, or what the nearest of them does',
      ),
    with: z
      .array(trait)
      .default([...DEFAULT_KERNEL.with])
      .describe('traits besides those of the release; the list given replaces the default'),
    without: z.array(trait).default([]).describe('traits of the release to leave out'),
  })
  .prefault({})
  .describe('which kernel the machine runs');

const ADDRESS = {
  error: ({ input }: { readonly input?: unknown }) =>
    must("a whole number, or hex digits in quotes such as '0x1000'", input),
};
const address = z.union(
  [z.int().nonnegative(), z.string().regex(/^0x[0-9a-fA-F]{1,16}$/, ADDRESS)],
  ADDRESS,
);

const optionValue = z.union([z.number(), z.string(), z.boolean()], {
  error: ({ input }) => must('a number, text, true or false', input),
});

/** One entry of `iommus`: options stand beside type and name; which there are says the type. */
export interface IommuDescription {
  readonly type: string;
  readonly name?: string | undefined;
  readonly [option: string]: OptionValue | undefined;
}

/** It becomes the name of a directory of sysfs. */
const iommuName = z.string().regex(/^[A-Za-z0-9_][A-Za-z0-9_.-]{0,31}$/, {
  error: ({ input }) =>
    must('1 to 32 letters, digits and . _ - with no . or - at the front', input),
});

function iommuEntry({ type, summary, prefix, options }: IommuType) {
  const shapes = Object.entries(options).map(([key, option]) => [key, shapeOf(option)] as const);
  return z
    .strictObject({
      type: z.literal(type),
      name: iommuName.optional().describe(`of the instance; default: ${prefix}0, ${prefix}1, …`),
      ...Object.fromEntries(shapes),
    })
    .describe(summary);
}

/** Undefined is a value that was not given: a default may depend on other options, and is filled in later. */
function shapeOf(option: Option) {
  return z
    .unknown()
    .refine((value) => value === undefined || isAllowed(option, value), {
      error: ({ input }) => notAllowedValue(option, input),
    })
    .optional()
    .meta({ ...optionSchema(option) });
}

const directRegion = z.strictObject({
  start: address.describe('first byte, at a page boundary'),
  last: address.describe('last byte, inclusive, at the end of a page'),
  relaxable: z.boolean().default(false).describe('needed at boot only: the device may be owned'),
});

/** One device entry; `device` below says what each key means. */
export interface DeviceDescription {
  readonly type: string;
  readonly at: string;
  readonly driver?: string | undefined;
  readonly iommu?: string | undefined;
  readonly options: Readonly<Record<string, number | string | boolean>>;
  readonly acs: boolean;
  readonly directRegions: readonly z.output<typeof directRegion>[];
  readonly vfOf?: string | undefined;
  readonly bar?: BarWish | undefined;
  readonly migration?: MigrationChoice | undefined;
  readonly aliases: readonly string[];
  readonly devices: readonly DeviceDescription[];
}

/** A PCI address as text. */
export const bdf = z.string().regex(/^[0-9a-f]{4}:[0-9a-f]{2}:[01][0-9a-f]\.[0-7]$/, {
  error: ({ input }) =>
    must('a PCI address DDDD:BB:DD.F in lower-case hex, such as 0000:00:04.0', input),
});

/** How much of a migration a device offers, each with what stands before it. */
export const MIGRATION_CHOICES = ['none', 'stop-copy', 'p2p', 'pre-copy'] as const;
/** One of them. */
export type MigrationChoice = (typeof MIGRATION_CHOICES)[number];

const devfn = z.string().regex(/^[01][0-9a-f]\.[0-7]$/, {
  error: ({ input }) => must('DD.F, such as 03.1', input),
});

const deviceKeys = {
  type: z.string().describe('a device model, or a bridge'),
  at: bdf.describe('PCI address DDDD:BB:DD.F, lower-case hex'),
  driver: z
    .enum(DRIVER_NAMES)
    .optional()
    .describe('kernel driver bound at boot; by default vfio-pci, of bridges pcieport'),
  iommu: z
    .string()
    .optional()
    .describe('name of an IOMMU, or none; by default that of the bridge above, else the first one'),
  options: z.record(z.string(), optionValue).default({}).describe('options of the device model'),
  acs: z.boolean().default(true).describe('of ports and multifunction devices: isolates its peers'),
  directRegions: z
    .array(directRegion)
    .default([])
    .describe('memory that firmware wants mapped one to one for this device (RMRR)'),
  vfOf: bdf.optional().describe('this is a virtual function of the device at that address'),
  bar: barWish
    .optional()
    .describe(
      'how users of vfio reach its memory BARs, or each by its index: trap, they map it and each load and store is a call; plain, they map it and have pages that the model calls plain as memory; none, they read and write it. Default: plain where the model has such pages and nobody listens to the run (--trace, --report, --sanitize), else trap',
    ),
  migration: z
    .enum(MIGRATION_CHOICES)
    .optional()
    .describe(
      'what vfio-pci offers users of the device: stop-copy, and with it p2p, and with both pre-copy; none (default) as vfio-pci on Linux',
    ),
  aliases: z.array(devfn).default([]).describe('other DD.F that this function puts on the bus'),
};

const device: z.ZodType<DeviceDescription> = z
  .strictObject({
    ...deviceKeys,
    devices: z
      .array(z.lazy(() => device))
      .default([])
      .describe('of bridges: what is behind it'),
  })
  .meta({ id: 'device' });

/** The shape of a machine file with these types of IOMMU; a JSON Schema, its manual and a printed file come of it. */
export function machineShape(iommuTypes: IommuTypes) {
  const entries = [...iommuTypes.values()].map(iommuEntry);
  const iommu: z.ZodType<IommuDescription, IommuDescription> = z.discriminatedUnion('type', [
    entries[0]!,
    ...entries.slice(1),
  ]);
  return z.strictObject({
    name: z.string().default('machine').describe('for people'),
    kernel,
    ramMiB: z
      .int()
      .min(1)
      .max(2048)
      .default(256)
      .describe('MiB of RAM for page tables and queues; pages cost nothing until they are used'),
    iommus: z
      .array(iommu)
      .default([{ type: 'intel' }])
      .describe('IOMMUs; the first one stands above every device that names no other'),
    devices: z.array(device).default([]).describe('what is plugged into the root buses'),
    plugins: z
      .array(z.string().min(1))
      .default([])
      .describe('files of plugins, relative to this file: types of your own that it names'),
    blocks: z
      .record(z.string(), blockShape)
      .default({})
      .describe('storage by its name, for the devices that name it'),
    wires: z
      .record(z.string(), wireShape)
      .default({})
      .describe('wires out of the machine by their name, for the device that names it'),
  });
}

/** A whole machine as data, with defaults filled in. */
export type MachineDescription = z.output<ReturnType<typeof machineShape>>;
/** What may be written: everything with a default may be left out. */
export type MachineInput = z.input<ReturnType<typeof machineShape>>;
/** Memory that firmware wants mapped one to one for a device; `last` is inclusive. */
export type DirectRegion = DeviceDescription['directRegions'][number];

/** The shape only; use parseDescription (description-check.ts), which also asks whether the hardware can exist. */
export function parseShape(
  value: unknown,
  iommuTypes: IommuTypes,
): { readonly description: MachineDescription } | { readonly problems: readonly Problem[] } {
  const shape = machineShape(iommuTypes);
  const parsed = shape.safeParse(value, OUR_WORDS);
  if (parsed.success) return { description: parsed.data };
  const words = wordsFor(Object.keys(shape.shape), iommuTypes, value);
  return { problems: shapeProblems(parsed.error.issues, words) };
}

function wordsFor(topKeys: readonly string[], iommuTypes: IommuTypes, value: unknown): Shape {
  const iommuType = (path: Problem['path']): unknown => valueAt(value, [...path, 'type']);
  return {
    keysAt(path) {
      if (path.length === 0) return topKeys;
      if (path[0] === 'blocks') return BLOCK_KEYS;
      if (path[0] === 'wires') return WIRE_KEYS;
      if (path[0] === 'kernel') return ['version', 'with', 'without'];
      if (path.at(-2) === 'directRegions') return Object.keys(directRegion.shape);
      if (path[0] !== 'iommus') return DEVICE_KEYS;
      const known = iommuTypes.get(String(iommuType(path)));
      return ['type', 'name', ...Object.keys(known?.options ?? {})];
    },
    unionProblems(issue, path) {
      if (path[0] !== 'iommus') return [{ path, message: issue.message }];
      const entry = path.at(-1) === 'type' ? path.slice(0, -1) : path;
      const message = notAllowed(iommuType(entry), [...iommuTypes.keys()]);
      return [{ path: [...entry, 'type'], message }];
    },
  };
}

const DEVICE_KEYS = [...Object.keys(deviceKeys), 'devices'];
