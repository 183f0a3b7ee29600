import { describe, expect, test } from 'vitest';
import { plugInto } from '../../testing/devices/fake-port.ts';
import { edu, EDU_BUFFER, EDU_REG } from './edu.ts';
import { withDefaults } from '../../base/options.ts';
import type { DeviceModel } from '../port.ts';

const setup = (options: Record<string, number | boolean> = {}) => plugInto(edu, options);
const read = (d: DeviceModel, at: number, width = 4): bigint => d.mmioRead(0, at, width);
const write = (d: DeviceModel, at: number, value: number | bigint, width = 4): void =>
  d.mmioWrite(0, at, width, BigInt(value));
const dma = (
  d: DeviceModel,
  source: number,
  destination: number,
  count: number,
  command: number,
) => {
  write(d, EDU_REG.dmaSource, source, 8);
  write(d, EDU_REG.dmaDestination, destination, 8);
  write(d, EDU_REG.dmaCount, count, 8);
  write(d, EDU_REG.dmaCommand, command);
};
const MS = 1e6;

describe('registers', () => {
  test('the identification is 0x010000ed', () => {
    expect(read(setup().device, EDU_REG.id)).toBe(0x0100_00edn);
  });
  test('liveness reads back the inversion of what was written', () => {
    const { device } = setup();
    expect(read(device, EDU_REG.liveness)).toBe(0n);
    write(device, EDU_REG.liveness, 0x1234_5678);
    expect(read(device, EDU_REG.liveness)).toBe(0xedcb_a987n);
  });
  test.for([
    [EDU_REG.id, 1],
    [EDU_REG.id, 2],
    [EDU_REG.id, 8],
    [EDU_REG.dmaSource, 2],
    [0x84, 4],
    [0x0c, 4],
    [0xff, 1],
  ])('offset %i with width %i reads all ones', ([at, width]) => {
    expect(read(setup().device, at!, width)).toBe((1n << BigInt(8 * width!)) - 1n);
  });
  test('an 8-byte write below 0x80 is ignored', () => {
    const { device } = setup();
    write(device, EDU_REG.liveness, 5, 8);
    expect(read(device, EDU_REG.liveness)).toBe(0n);
  });
  test('only bit 7 of the status can be written', () => {
    const { device } = setup();
    write(device, EDU_REG.status, 0xffff_ffff);
    expect(read(device, EDU_REG.status)).toBe(0x80n);
    write(device, EDU_REG.status, 0);
    expect(read(device, EDU_REG.status)).toBe(0n);
  });
});

describe('factorial', () => {
  test.for([
    [0, 1n],
    [1, 1n],
    [5, 120n],
    [12, 479001600n],
    [13, 1932053504n],
    [34, 0n],
    [0xffff_ffff, 0n],
  ] as const)('the factorial of %i is %s, modulo 2^32', ([n, value]) => {
    const { device, port } = setup();
    write(device, EDU_REG.factorial, n);
    expect(read(device, EDU_REG.status) & 1n).toBe(1n);
    port.clock.advance(1 * MS);
    expect(read(device, EDU_REG.factorial)).toBe(value);
    expect(read(device, EDU_REG.status) & 1n).toBe(0n);
  });
  test('a second number is ignored while a factorial is computed', () => {
    const { device, port } = setup();
    write(device, EDU_REG.factorial, 5);
    write(device, EDU_REG.factorial, 3);
    port.clock.advance(1 * MS);
    expect(read(device, EDU_REG.factorial)).toBe(120n);
  });
  test('a factorial interrupts at its end only when bit 7 is set', () => {
    const { device, port } = setup();
    write(device, EDU_REG.factorial, 5);
    port.clock.advance(1 * MS);
    expect(port.messages).toEqual([]);
    write(device, EDU_REG.status, 0x80);
    write(device, EDU_REG.factorial, 5);
    port.clock.advance(1 * MS);
    expect(port.messages).toEqual([0]);
    expect(read(device, EDU_REG.irqStatus)).toBe(1n);
  });
});

describe('interrupts', () => {
  test('raising adds bits of the interrupt status and sends a message each time', () => {
    const { device, port } = setup();
    write(device, EDU_REG.irqRaise, 0x2);
    write(device, EDU_REG.irqRaise, 0x4);
    expect(read(device, EDU_REG.irqStatus)).toBe(6n);
    expect(port.messages).toEqual([0, 0]);
    write(device, EDU_REG.irqAck, 0x2);
    expect(read(device, EDU_REG.irqStatus)).toBe(4n);
  });
  test('the pin is up while the interrupt status is not zero', () => {
    const { device, port } = setup();
    port.flip('messages', false);
    write(device, EDU_REG.irqRaise, 0x3);
    write(device, EDU_REG.irqAck, 0x1);
    expect(port.pin).toBe(true);
    write(device, EDU_REG.irqAck, 0x2);
    expect(port.pin).toBe(false);
    expect(port.messages).toEqual([]);
  });
  test('raising no bit does nothing', () => {
    const { device, port } = setup();
    write(device, EDU_REG.irqRaise, 0);
    expect(port.messages).toEqual([]);
  });
});

describe('DMA', () => {
  test('a transfer moves bytes out and back after its delay', () => {
    const { device, port } = setup();
    port.memory.set([1, 2, 3, 4], 0x1000);
    dma(device, 0x1000, EDU_BUFFER + 16, 4, 0x1);
    expect(read(device, EDU_REG.dmaCommand)).toBe(1n);
    port.clock.advance(99 * MS);
    expect(read(device, EDU_REG.dmaCommand)).toBe(1n);
    port.clock.advance(1 * MS);
    expect(read(device, EDU_REG.dmaCommand)).toBe(0n);
    dma(device, EDU_BUFFER + 16, 0x2000, 4, 0x7);
    port.clock.advance(100 * MS);
    expect([...port.memory.subarray(0x2000, 0x2004)]).toEqual([1, 2, 3, 4]);
    expect(read(device, EDU_REG.irqStatus)).toBe(0x100n);
    expect(port.messages).toEqual([0]);
  });
  test('the registers of a transfer cannot be written while it runs', () => {
    const { device, port } = setup();
    dma(device, 0x1000, EDU_BUFFER, 4, 0x1);
    write(device, EDU_REG.dmaSource, 0x5000, 8);
    expect(read(device, EDU_REG.dmaSource, 8)).toBe(0x1000n);
    port.clock.advance(100 * MS);
    write(device, EDU_REG.dmaSource, 0x5000, 8);
    expect(read(device, EDU_REG.dmaSource, 8)).toBe(0x5000n);
  });
  test('a command without the start bit is ignored', () => {
    const { device, port } = setup();
    dma(device, 0x1000, EDU_BUFFER, 4, 0x6);
    port.clock.advance(200 * MS);
    expect(read(device, EDU_REG.dmaCommand)).toBe(0n);
    expect(port.touched).toEqual([]);
  });
  test.for([
    [EDU_BUFFER - 1, 4],
    [EDU_BUFFER + 4093, 4],
    [0, 4],
    [EDU_BUFFER, 4097],
  ])('device address %i with %i bytes leaves the buffer, and nothing moves', ([at, count]) => {
    const { device, port } = setup();
    dma(device, at!, 0x1000, count!, 0x3);
    port.clock.advance(100 * MS);
    expect(port.touched).toEqual([]);
    expect(read(device, EDU_REG.dmaCommand) & 1n).toBe(0n);
  });
});

describe('DMA on the bus', () => {
  test('the bus address is cut to the DMA mask', () => {
    const { device, port } = setup();
    dma(device, 0x1000_2000, EDU_BUFFER, 4, 0x1);
    port.clock.advance(100 * MS);
    expect(port.touched).toEqual(['read 2000']);
    const wide = setup({ dma_mask_bits: 40 });
    dma(wide.device, 0x1000_2000, EDU_BUFFER, 4, 0x1);
    wide.port.clock.advance(100 * MS);
    expect(wide.port.touched).toEqual(['read 10002000']);
  });
  test('a refused transfer still ends, and leaves the buffer as it was', () => {
    const { device, port } = setup();
    dma(device, 0x80_0000, EDU_BUFFER, 4, 0x5);
    port.clock.advance(100 * MS);
    expect(read(device, EDU_REG.dmaCommand) & 1n).toBe(0n);
    expect(port.messages).toEqual([0]);
  });
});

test('a reset stops the engine and brings back power-on values', () => {
  const { device, port } = setup();
  write(device, EDU_REG.liveness, 1);
  write(device, EDU_REG.irqRaise, 1);
  write(device, EDU_REG.factorial, 5);
  dma(device, 0x1000, EDU_BUFFER, 4, 0x5);
  device.reset('bus');
  port.clock.advance(200 * MS);
  expect(port.touched).toEqual([]);
  for (const at of [0x04, 0x08, 0x20, 0x24, 0x80, 0x98]) expect(read(device, at)).toBe(0n);
});

test('an edu is conventional PCI without power states or resets unless asked to be PCIe', () => {
  const conventional = edu.identity(withDefaults(edu.options, {}));
  expect([conventional.pcie, conventional.powerManagement]).toEqual([undefined, undefined]);
  expect(edu.identity(withDefaults(edu.options, { pcie: true }))).toEqual({
    ...conventional,
    pcie: { flr: true, type: 'endpoint' },
    powerManagement: true,
  });
});

describe('state', () => {
  /** Everything a program can see from now on, for a while. */
  const future = ({ port, device }: ReturnType<typeof setup>): unknown[] => {
    const seen: unknown[] = [];
    for (let n = 0; n < 12; n++) {
      port.clock.advance(10 * MS);
      const registers = Object.values(EDU_REG).map((at) => read(device, at));
      seen.push([registers, [...port.messages], port.pin, port.memory.slice(0x2000, 0x2008)]);
    }
    write(device, EDU_REG.irqAck, 0xffff_ffff);
    return [...seen, port.pin, read(device, EDU_REG.irqStatus)];
  };
  const scenes: Record<string, (given: ReturnType<typeof setup>) => void> = {
    'at rest': () => undefined,
    computing({ port, device }) {
      write(device, EDU_REG.status, 0x80);
      write(device, EDU_REG.factorial, 5);
      port.clock.advance(4_000);
    },
    transferring({ port, device }) {
      port.memory.set([1, 2, 3, 4], 0x1000);
      dma(device, 0x1000, EDU_BUFFER, 4, 0x1);
      port.clock.advance(100 * MS);
      dma(device, EDU_BUFFER, 0x2000, 4, 0x7);
      port.clock.advance(30 * MS);
    },
    'with its pin up'({ port, device }) {
      port.flip('messages', false);
      write(device, EDU_REG.irqRaise, 3);
    },
  };
  test.for(Object.keys(scenes))('%s, restored into another, has the same future', (name) => {
    const old = setup();
    scenes[name]!(old);
    const state = structuredClone(old.device.state());
    const fresh = setup();
    fresh.device.restore(state);
    fresh.port.flip('messages', old.port.config.is('messages'));
    fresh.port.messages.push(...old.port.messages);
    expect(future(fresh)).toEqual(future(old));
  });
  test('a restored state replaces what was in progress', () => {
    const { device, port } = setup();
    const rest = device.state();
    dma(device, 0x1000, EDU_BUFFER, 4, 0x5);
    device.restore(rest);
    port.clock.advance(200 * MS);
    expect([port.touched, port.messages]).toEqual([[], []]);
  });
});

test('its registers have names', () => {
  const { device } = setup();
  expect(device.registerName?.(0, EDU_REG.dmaCommand)).toBe('dmaCommand');
  expect(device.registerName?.(0, 0x0c)).toBeUndefined();
});
