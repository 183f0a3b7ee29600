/** Commands and configuration of a dsa: vectors V1 to V6 of devices.md 3.5, and what work does to them. */
import { describe, expect, test } from 'vitest';
import {
  dsaRig as setup,
  enabledDsa as enabled,
  configureDsa as configure,
  dsaDescriptor as descriptor,
  putDsaBatch as putBatch,
  dsaBatch as batch,
  RECORD,
  WQCFG,
  GRPCFG,
  type DsaRig as Rig,
} from '../../testing/devices/dsa-rig.ts';
import { CMD, DSA_REG as REG } from './dsa.ts';
const WQ_STATE = WQCFG + 24;

describe('vectors of commands', () => {
  test('V1 it is disabled, and a reset is over at once', () => {
    const { read, command } = setup();
    expect([read(REG.gensts), command(CMD.resetDevice)]).toEqual([0n, 0]);
  });
  test('V2 a work queue needs its device', () => {
    expect(setup().command(CMD.enableWq, 0)).toBe(0x20);
  });
  test('V3 the device needs bus mastering', () => {
    const rig = setup();
    configure(rig);
    rig.port.flip('busMaster', false);
    expect(rig.command(CMD.enableDevice)).toBe(0x12);
  });
  test('V4 V5 V6 what is enabled is not enabled again, and can be disabled', () => {
    const rig = setup();
    configure(rig);
    expect(rig.command(CMD.enableDevice)).toBe(0);
    expect(rig.read(REG.gensts)).toBe(1n);
    expect(rig.command(CMD.enableDevice)).toBe(0x10);
    expect(rig.command(CMD.enableWq)).toBe(0);
    expect(rig.read(WQ_STATE) >> 30n).toBe(1n);
    expect(rig.command(CMD.enableWq)).toBe(0x21);
    expect(rig.command(CMD.disableWq, 1)).toBe(0);
    expect(rig.read(WQ_STATE)).toBe(0n);
  });
  test.for<[string, (rig: Rig) => void, number]>([
    ['sizes beyond the total', ({ write }) => write(WQCFG, 200), 0x14],
    ['a work queue in two groups', ({ write }) => write(GRPCFG + 64, 3, 8), 0x15],
    ['a work queue in none', ({ write }) => write(GRPCFG, 0, 8), 0x16],
    ['an engine in two groups', ({ write }) => write(GRPCFG + 96, 3, 8), 0x17],
    ['a group without engine', ({ write }) => write(GRPCFG + 96, 0, 8), 0x18],
  ])('the device is not enabled with %s', ([, wrong, error]) => {
    const rig = setup();
    configure(rig);
    wrong(rig);
    expect(rig.command(CMD.enableDevice)).toBe(error);
    expect(rig.read(REG.gensts)).toBe(0n);
  });
  test.for<[string, number, number, number]>([
    ['no size', 0, 0, 0x22],
    ['no priority', 8, 1, 0x23],
    ['shared mode', 8, 0x10, 0x24],
    ['batches that are too long', 12, 16 | (11 << 5), 0x27],
    ['transfers that are too long', 12, 17, 0x28],
  ])('a work queue is not enabled with %s', ([, word, value, error]) => {
    const rig = setup();
    configure(rig);
    rig.write(GRPCFG + 64, 0, 8);
    rig.write(WQCFG + 64, 0);
    rig.write(WQCFG + word, value);
    expect([rig.command(CMD.enableDevice), rig.command(CMD.enableWq)]).toEqual([0, error]);
  });
});

describe('commands', () => {
  test.for<[string, number, number, number]>([
    ['a command there is not', 0, 0, 0x01],
    ['interrupt handles', 13, 0, 0x01],
    ['a work queue there is not', CMD.enableWq, 4, 0x02],
    ['the same by its bit', CMD.disableWq, 0x10, 0x02],
    ['one of another sixteen', CMD.drainWq, 0x1_0001, 0x02],
    ['one that is fine', CMD.drainWq, 3, 0],
    ['everything', CMD.drainAll, 0, 0],
    ['PASIDs, of which there are none', CMD.drainPasid, 5, 0],
  ])('%s', ([, code, operand, error]) => {
    expect(enabled().command(code, operand)).toBe(error);
  });
  test.for<[number, number]>([
    [CMD.disableDevice, 0x31],
    [CMD.drainAll, 0x31],
    [CMD.disableWq, 0x32],
  ])('command %i needs the device enabled', ([code, error]) => {
    expect(setup().command(code, 1)).toBe(error);
  });
});

describe('commands while there is work', () => {
  function busy(): Rig {
    const rig = enabled();
    putBatch(rig, {}, 512);
    rig.submit(batch({ size: 512 }));
    expect(rig.record().status).toBe(0);
    return rig;
  }
  test.for<[string, number, number]>([
    ['a drain', CMD.drainWq, 1],
    ['a disabled work queue', CMD.disableWq, 1],
    ['a disabled device', CMD.disableDevice, 0],
  ])('%s waits for it', ([, code, operand]) => {
    const rig = busy();
    expect(rig.command(code, operand) >>> 31).toBe(1);
    rig.write(REG.cmd, CMD.resetDevice << 20); //           is not heard
    rig.port.clock.advance(0);
    expect([rig.read(REG.cmdsts), rig.record().status]).toEqual([0n, 1]);
  });
  test('what comes while its queue is being disabled is not taken', () => {
    const rig = busy();
    rig.command(CMD.disableWq, 1);
    rig.submit(descriptor({ record: RECORD + 32 }));
    rig.port.clock.advance(0);
    expect(rig.record(RECORD + 32).status).toBe(0);
  });
  test.for<[string, number, number]>([
    ['an abort', CMD.abortWq, 1],
    ['an abort of all', CMD.abortAll, 0],
    ['a reset of the work queue', CMD.resetWq, 1],
    ['a reset of the device', CMD.resetDevice, 0],
  ])('%s ends it at once', ([, code, operand]) => {
    const rig = busy();
    expect(rig.command(code, operand)).toBe(0);
    rig.port.touched.length = 0;
    rig.port.clock.advance(1e9);
    expect([rig.port.touched, rig.record().status]).toEqual([[], 0]);
  });
  test('a full work queue takes no more', () => {
    const rig = busy();
    for (let n = 0; n < 16; n++) rig.submit(descriptor({ record: RECORD + 32 * (n + 1) }));
    rig.port.clock.advance(0);
    expect([rig.record(RECORD + 32 * 15).status, rig.record(RECORD + 32 * 16).status]).toEqual([
      1, 0,
    ]);
  });
  test('a command that asks for it interrupts at its end', () => {
    const rig = busy();
    rig.write(REG.cmd, ((CMD.drainAll << 20) | (1 << 31)) >>> 0);
    expect(rig.port.messages).toEqual([]);
    rig.port.clock.advance(0);
    expect([rig.port.messages, rig.read(REG.intcause)]).toEqual([[0], 2n]);
    rig.write(REG.intcause, 2);
    expect(rig.read(REG.intcause)).toBe(0n);
  });
});

describe('configuration', () => {
  test('of an enabled work queue, and of groups of an enabled device, stays', () => {
    const rig = enabled();
    rig.write(WQCFG, 5);
    rig.write(GRPCFG, 0, 8);
    rig.write(WQCFG + 1, 5, 1);
    expect([rig.read(WQCFG), rig.read(GRPCFG, 8)]).toEqual([16n, 1n]);
  });
  test('the state of a work queue is not written', () => {
    const rig = setup();
    rig.write(WQ_STATE, 0xffff_ffff);
    expect(rig.read(WQ_STATE)).toBe(0n);
  });
  test('survives a disabled device, and not its reset', () => {
    const rig = enabled();
    rig.command(CMD.disableDevice);
    expect([rig.read(WQCFG), rig.read(WQ_STATE), rig.read(REG.gensts)]).toEqual([16n, 0n, 0n]);
    rig.command(CMD.resetDevice);
    expect([rig.read(WQCFG), rig.read(GRPCFG, 8)]).toEqual([0n, 0n]);
  });
  test('there are as many work queues as were asked for', () => {
    const rig = setup({ wqs: 1 });
    expect((rig.read(REG.wqcap, 8) >> 16n) & 0xffn).toBe(1n);
    rig.write(WQCFG + 64, 5);
    expect(rig.read(WQCFG + 64)).toBe(0n);
  });
  // 2 MiB is what the driver of Linux gives a work queue when nobody says otherwise.
  test.for([20, 21])('capabilities are those of the options: transfers of 2^%d bytes', (lg2) => {
    const rig = setup({ max_xfer_shift: lg2, max_batch_shift: 6 });
    expect(rig.read(REG.gencap, 8)).toBe((1n << 31n) | 2n | (BigInt(lg2) << 16n) | (6n << 21n));
  });
});
