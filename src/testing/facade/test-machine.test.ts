/** The machine for tests, and what can be expected of it. */
import { describe, expect, test } from 'vitest';
import { EBUSY, EINVAL } from '../../base/errno.ts';
import { refuse } from '../../base/refuse.ts';
import { KNOWN_TYPES } from '../../machine/machine.ts';
import { assertFault, assertRefused } from './expectations.ts';
import { matchers, type SoftIommuMatchers } from './matchers.ts';
import { testDevice, TestMachine } from './test-machine.ts';

declare module 'vitest' {
  // eslint-disable-next-line @typescript-eslint/no-explicit-any, @typescript-eslint/no-unused-vars, @typescript-eslint/no-empty-object-type -- as vitest says it
  interface Matchers<T = any> extends SoftIommuMatchers {}
}
expect.extend(matchers);

const dmaEcho = KNOWN_TYPES.devices.get('dma-echo')!;

function echoed(from: bigint, to: bigint) {
  const device = testDevice(dmaEcho);
  const { driver, ioas, rig } = device;
  const [source, target] = [ioas.map(0x1000n, 4096), ioas.map(0x8000n, 4096, 'r')];
  source.bytes.set([1, 2, 3]);
  const run = (): bigint => {
    driver.store(0, 8, from);
    driver.store(8, 8, to);
    driver.store(0x10, 4, 3);
    return driver.interrupt();
  };
  return { ...device, rig, source, target, run, status: () => driver.load(0x14) };
}

describe('a device with its driver', () => {
  test('does DMA in memory that was mapped, and interrupts', () => {
    using echo = echoed(0x1000n, 0x1800n);
    expect([echo.run(), echo.status()]).toEqual([1n, 2n]);
    expect([...echo.source.bytes.subarray(0x800, 0x804)]).toEqual([1, 2, 3, 0]);
    expect(echo.rig.faults).toEqual([]);
  });
  test('faults where nothing is mapped, and where it may only read', () => {
    using nowhere = echoed(0x1000n, 0x5010n);
    expect(nowhere.run).toFault(nowhere.rig, { iova: 0x5010n, write: true, unit: 'dmar0' });
    expect(nowhere.status()).toBe(3n);
    using readOnly = echoed(0x1000n, 0x8000n);
    const fault = assertFault(readOnly.run, readOnly.rig, { device: '0000:00:04.0' });
    expect(fault.reason).toContain('writ');
    expect(readOnly.rig.faults).toHaveLength(1);
  });
  test('faults no more where it was mapped, and again after the unmap', () => {
    using echo = echoed(0x1000n, 0x5000n);
    echo.ioas.map(0x5000n, 4096);
    expect(echo.run).not.toFault(echo.rig);
    echo.ioas.unmap(0x5000n, 4096);
    expect(echo.run).toFault(echo.rig.machine);
  });
  test('waits for an interrupt that will not come: EDEADLK', () => {
    using echo = echoed(0n, 0n);
    expect(() => echo.driver.interrupt()).toBeRefused('EDEADLK');
    expect(() => echo.driver.interrupt(7)).toBeRefused('EBADF');
  });
  test('with MSI-X has an eventfd for each message', () => {
    using device = testDevice(KNOWN_TYPES.devices.get('nvme')!);
    expect(() => device.driver.interrupt(3)).toBeRefused('EDEADLK');
    expect(device.driver.bar(0).load(8, 4)).not.toBe(0xffff_ffffn);
  });
});

describe('a refusal', () => {
  test('of the kernel is told by errno, rule and values', () => {
    using rig = new TestMachine();
    const ioas = rig.ioas();
    ioas.map(0x1000n, 4096);
    expect(() => ioas.map(0x1000n, 4096)).toBeRefused('EEXIST');
    rig.driver('0000:00:04.0', ioas);
    const seen = assertRefused(() => ioas.map(0x2800n, 4096), 'EINVAL', { rule: /align|multiple/ });
    expect(seen.facts).toMatchObject({ alignment: 4096 });
    expect(() => ioas.map(0x3000n, 4096)).not.toBeRefused();
    expect(() => rig.driver('0000:00:09.0')).toBeRefused('ENOENT');
  });
  test('as an errno is one as well', () => {
    const run = () => refuse(EBUSY, 'it is in use', { by: 7 });
    expect(run).toBeRefused('EBUSY', { rule: 'in use', facts: { by: 7 } });
    expect(run).not.toBeRefused('EBUSY', { facts: { by: 8 } });
    expect(run).not.toBeRefused('EINVAL');
    expect(() => EINVAL).toBeRefused('EINVAL');
  });
});

describe('what fails says what was wanted and what there was', () => {
  test.for<[string, () => unknown, RegExp]>([
    [
      'no fault',
      () => assertFault(() => undefined, new TestMachine(), { iova: 0x10n, reason: /no/ }),
      /a fault was expected \(iova: 0x10, reason: \/no\/\); there were:\n {2}none/,
    ],
    [
      'another fault',
      () => {
        using echo = echoed(0x1000n, 0x5000n);
        expect(echo.run).toFault(echo.rig, { write: false });
      },
      /write: false\); there were:\n {2}dmar0: 0000:00:04.0 write 0x5000: fault/,
    ],
    [
      'no refusal',
      () => assertRefused(() => 3, 'EPERM', { facts: { uid: 1 } }),
      /a refusal was expected \(EPERM, facts: \{ uid: 1 \}\); but: nothing was refused/,
    ],
    [
      'another refusal',
      () => assertRefused(() => refuse(EBUSY, 'it is in use', { by: 7n }), 'EPERM'),
      /but: EBUSY: it is in use, by=0x7/,
    ],
    [
      'a refusal too many',
      () => expect(() => EINVAL).not.toBeRefused(),
      /this was not to be refused: EINVAL/,
    ],
    ['no function', () => expect(3).toBeRefused(), /toBeRefused wants a function to call/],
  ])('%s', ([, run, message]) => {
    expect(run).toThrow(message);
  });
  test('an exception that is no refusal goes on', () => {
    using rig = new TestMachine();
    const boom = (): never => {
      throw new Error('boom');
    };
    expect(() => assertRefused(boom)).toThrow('boom');
    expect(() => assertFault(boom, rig)).toThrow('boom');
  });
});
