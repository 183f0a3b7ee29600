/** Registers that do not answer: why, and which call has switched what off. */
import { describe, expect, test } from 'vitest';
import { must } from '../../testing/base/must.ts';
import { answers, CONFIG, Explained } from '../../testing/insight/explained.ts';
import * as uapi from '../../uapi/vfio.ts';

const SLEEPER = { type: 'edu', at: '0000:01:00.0', options: { pcie: true } };
const BEHIND_PORT = { devices: [{ type: 'root-port', at: '0000:00:01.0', devices: [SLEEPER] }] };

describe('a touch of registers that is a SIGBUS: which of the reasons', () => {
  test('memory decode is off', () => {
    const program = new Explained();
    const { device } = program.start();
    const at = program.registers(device);
    program.command(device, 4);
    answers.push(program.program.load(at, 4));
    expect(program.lines).toEqual([
      expect.stringMatching(
        /^1\. --- SIGBUS \{si_signo=SIGBUS, si_code=BUS_ADRERR, si_addr=0x[0-9a-f]+\} ---$/,
      ),
      'memory decode of the device is off (device=0000:00:04.0)',
      expect.stringMatching(/^memory decode was switched off by pwrite64\(.*\) of process \d+$/),
      'set bit 1 of the command register (offset 4 of the configuration space)',
    ]);
  });
  test('the device sleeps', () => {
    const program = new Explained(BEHIND_PORT, SLEEPER.at);
    const { device } = program.start();
    const at = program.registers(device);
    must(program.pwrite(device, CONFIG + program.pmcsr(device), Uint8Array.of(3, 0)));
    answers.push(program.program.store(at, 4, 0n));
    const [, why, who] = program.lines;
    expect(why).toBe('the device sleeps (device=0000:01:00.0, power=D3)');
    expect(who).toMatch(/^power was switched off by pwrite64\(.*\) of process \d+$/);
  });
  test('the last file of the device is closed', () => {
    const program = new Explained();
    const { c, g, d } = program.device(uapi.VFIO_TYPE1v2_IOMMU);
    const at = program.registers(d);
    for (const fd of [d, g, c]) must(program.program.close(fd) ?? 0);
    answers.push(program.program.load(at, 4));
    expect(program.lines[1]).toBe('the last file of the device is closed (device=0000:00:04.0)');
  });
  test('read as a file it is EIO, for the same reason', () => {
    const program = new Explained();
    const { device } = program.start();
    program.command(device, 4);
    answers.push(program.pread(device, 0n, 4));
    const [, rule, who] = program.lines;
    expect(rule).toMatch(/^memory decode is off or the device sleeps \(bar=0, /);
    expect(who).toMatch(/^memory decode was switched off by pwrite64/);
  });
});

describe('who made it so', () => {
  test('what was switched on again is not blamed, and the advice is for what is off', () => {
    const program = new Explained(BEHIND_PORT, SLEEPER.at);
    const { device } = program.start();
    program.command(device, 4);
    program.command(device, 6);
    must(program.pwrite(device, CONFIG + program.pmcsr(device), Uint8Array.of(3, 0)));
    answers.push(program.pread(device, 0n, 4));
    expect(program.lines.slice(2)).toEqual([
      expect.stringMatching(/^power was switched off by pwrite64\(.*\) of process \d+$/),
      'write D0 to its power management capability',
    ]);
  });
  test('of a device that was plugged in later it is known as well', () => {
    const program = new Explained(BEHIND_PORT, SLEEPER.at);
    const { hotplug } = program.machine;
    expect([hotplug.unplug(SLEEPER.at), hotplug.putBack(SLEEPER.at)]).toEqual([
      undefined,
      undefined,
    ]);
    const { device } = program.start();
    program.command(device, 4);
    answers.push(program.pread(device, 0n, 4));
    expect(program.lines[2]).toMatch(/^memory decode was switched off by pwrite64/);
  });
});
