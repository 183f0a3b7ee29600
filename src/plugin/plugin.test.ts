/** What is a plugin, which names are free, and what becomes of exceptions in it. */
import { describe, expect, test } from 'vitest';
import { blockOf } from '../devices/host-services.ts';
import type { DeviceModel, DeviceType } from '../devices/port.ts';
import { vtdss } from '../pt/index.ts';
import { plugInto } from '../testing/devices/fake-port.ts';
import { containedType } from './contained.ts';
import { definePlugin } from './index.ts';
import { shapeProblem, takenName, withPlugin, type KnownNames } from './shape.ts';

const QUIET: DeviceModel = {
  powerOn: () => undefined,
  reset: () => undefined,
  mmioRead: () => 7n,
  mmioWrite: () => undefined,
  state: () => ({ n: 1 }),
  restore: () => undefined,
};
function typeOf(create: DeviceType['create'], more: Partial<DeviceType> = {}): DeviceType {
  return {
    type: 'own',
    summary: "a device of one's own",
    options: {},
    identity: () => ({
      vendor: 1,
      device: 2,
      revision: 0,
      classCode: 0,
      bars: [{ index: 0, size: 4096, kind: 'mem32' }],
      interruptPin: 0,
    }),
    create,
    ...more,
  };
}
const TYPE = typeOf(() => QUIET);
const KNOWN: KnownNames = { devices: new Map(), iommus: new Map(), presets: {} };

describe('the shape of a plugin', () => {
  test('one with a device is a plugin', () => {
    expect(shapeProblem(definePlugin({ name: 'mine', devices: [TYPE] }))).toBeUndefined();
  });
  test.for<[unknown, string]>([
    [undefined, 'has no default export'],
    [7, 'its default export is no plugin'],
    [null, 'its default export is no plugin'],
    [{}, 'name: must be a text'],
    [
      { name: 'a', device: [] },
      'device: unknown key; allowed: name, devices, iommus, formats, presets',
    ],
    [{ name: 'a', devices: {} }, 'devices: must be a list'],
    [{ name: 'a', devices: [3] }, 'devices[0]: must be an object'],
    [{ name: 'a', devices: [{ type: 'x' }] }, 'devices[0].summary: must be a text'],
    [{ name: 'a', devices: [{ ...TYPE, options: null }] }, 'devices[0].options: must be a table'],
    [{ name: 'a', devices: [{ ...TYPE, create: 1 }] }, 'devices[0].create: must be a function'],
    [{ name: 'a', iommus: [TYPE] }, 'iommus[0].prefix: must be a text'],
    [
      { name: 'a', formats: [{ name: 'f', kind: {}, address: {} }] },
      'formats[0].table: must be a function',
    ],
    [Promise.resolve({ name: 'a' }), 'its default export is a promise; export what it promises'],
    [{ name: 'a', presets: 1 }, 'presets: must be a table'],
    [{ name: 'a', presets: { m: { summary: 's' } } }, 'presets.m: needs summary and machine'],
  ])('%j is none', ([value, problem]) => {
    expect(shapeProblem(value)).toContain(problem);
  });
  test('a name that is taken, or given twice, is told', () => {
    const preset = { summary: 's', machine: {} };
    const known = withPlugin(KNOWN, { name: 'a', devices: [TYPE], presets: { m: preset } });
    expect(takenName({ name: 'b', devices: [TYPE] }, known)).toBe(
      "there is a device 'own' already",
    );
    expect(takenName({ name: 'b', presets: { m: preset } }, known)).toBe(
      "there is a preset 'm' already",
    );
    expect(takenName({ name: 'b', devices: [TYPE, TYPE] }, KNOWN)).toBe(
      "there is a device 'own' already",
    );
    expect(takenName({ name: 'b', formats: [vtdss] }, known)).toBe(
      "there is a format 'vtdss' already",
    );
    const own = { ...vtdss, name: 'own' };
    expect(takenName({ name: 'b', formats: [own, own] }, KNOWN)).toBe(
      "there is a format 'own' already",
    );
    expect([...(withPlugin(known, { name: 'b', formats: [own] }).formats ?? [])]).toEqual([
      ['own', own],
    ]);
    expect(takenName({ name: 'b' }, known)).toBeUndefined();
  });
});

/** A device that throws in what `calls` names. */
function throwing(make: Partial<DeviceModel>) {
  const said: string[] = [];
  const type = containedType(
    typeOf(() => ({ ...QUIET, ...make })),
    'mine',
    (text) => said.push(text),
  );
  return { ...plugInto(type), said };
}
const boom = (): never => {
  throw new Error('boom');
};

describe('an exception of a model', () => {
  test('in a load gives ones of the width, and is told once with plugin, type and call', () => {
    const { device, said } = throwing({ mmioRead: boom });
    expect([1, 2, 4, 8].map((width) => device.mmioRead(0, 0, width))).toEqual([
      0xffn,
      0xffffn,
      0xffff_ffffn,
      0xffff_ffff_ffff_ffffn,
    ]);
    expect(said).toHaveLength(1);
    expect(said[0]).toMatch(/^plugin mine: own\.mmioRead: boom \(at .*plugin\.test\.ts/);
  });
  test.for<[keyof DeviceModel, (device: DeviceModel) => void]>([
    ['mmioWrite', (device) => device.mmioWrite(0, 0, 4, 1n)],
    ['reset', (device) => device.reset('flr')],
    ['restore', (device) => device.restore({})],
    ['state', (device) => expect(device.state()).toEqual({})],
    ['close', (device) => device.close?.()],
    ['registerName', (device) => expect(device.registerName?.(0, 0)).toBeUndefined()],
    ['mmioWrite64', (device) => device.mmioWrite64?.(0, 0, new Uint8Array(64))],
  ])('in %s does nothing else', ([call, run]) => {
    const { device, said } = throwing({ [call]: boom });
    run(device);
    expect(said[0]).toContain(`own.${call}: boom`);
  });
  test('in powerOn or create leaves a device that answers nothing', () => {
    const said: string[] = [];
    const { device } = plugInto(containedType(typeOf(boom), 'mine', (text) => said.push(text)));
    expect([device.mmioRead(0, 0, 4), said.length]).toEqual([0xffff_ffffn, 1]);
    expect(throwing({ powerOn: boom }).said[0]).toContain('own.powerOn: boom');
  });
});

describe('an exception later', () => {
  test('in what it is called back with is caught as well', () => {
    const said: string[] = [];
    const type = typeOf(
      (port) => {
        port.clock.after(5, boom);
        port.config.watch('busMaster', boom);
        port.host.block('disk').flush(boom);
        port.host.wire('self').listen({ receive: boom, carrier: boom });
        return { ...QUIET, mmioRead: () => BigInt(port.clock.nowNs) };
      },
      {
        needs: () => [
          { kind: 'block', name: 'disk' },
          { kind: 'wire', name: 'self' },
        ],
      },
    );
    const host = { blocks: new Map([['disk', blockOf(new Uint8Array(512))]]) };
    const { device, port } = plugInto(
      containedType(type, 'mine', (text) => said.push(text)),
      {},
      { host },
    );
    port.flip('busMaster', false);
    port.clock.advance(10);
    expect(device.mmioRead(0, 0, 8)).toBe(10n);
    expect(said.map((text) => /own\.(.*): boom/.exec(text)?.[1]).sort()).toEqual([
      'a timer',
      'config.watch',
      'the end of work at a block device',
    ]);
  });
  test('what throws nothing is what it was', () => {
    const { device, said } = throwing({});
    expect([device.mmioRead(0, 0, 4), device.state(), said]).toEqual([7n, { n: 1 }, []]);
  });
});
