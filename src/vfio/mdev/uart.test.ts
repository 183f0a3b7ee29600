import { describe, expect, test } from 'vitest';
import { UART_STATE_SIZE, UartPort } from './uart.ts';

/** `R5` loads a register, `W0=41` stores; what came of it: the loads and, as `!`, the interrupts. In hex. */
function run(script: string, port?: UartPort): string {
  const out: string[] = [];
  const uart = port ?? new UartPort(() => out.push('!'));
  for (const step of script.split(' ')) {
    const register = Number(step[1]);
    if (step.startsWith('R')) out.push(uart.read(register).toString(16));
    else uart.write(register, parseInt(step.slice(3), 16));
  }
  return out.join(' ');
}

describe('a port of mtty', () => {
  test.for<[string, string, string]>([
    ['V1 power-on', 'R5 R6', '60 b3'],
    ['V2 a byte comes back', 'W0=41 R5 R0 R5', '1 41 60'],
    ['V3 two bytes where one has room', 'W0=41 W0=42 R5 R0', '3 41'],
    ['V4 five bytes in their order', 'W2=1 W0=1 W0=2 W0=3 W0=4 W0=5 R0 R0 R0 R0 R0', '1 2 3 4 5'],
    ['V5 a cleared FIFO', 'W2=1 W0=1 W2=3 R5 R0', '60 0'],
    ['V6 an interrupt for a byte', 'W1=1 W0=41 R2 R0 R2', '! c4 41 c1'],
    ['V7 an interrupt for room', 'W1=2 R2', '! c2'],
    ['V8 the divisor', 'W3=80 W0=c W1=0 R0 W3=3 R3', 'c 3'],
    ['V9 scratch', 'W7=5a R7', '5a'],
    ['V10 modem interrupts', 'W1=8 W4=8 W4=3 R2', '! ! c1'],
    [
      'overrun interrupts, and a byte that has room ends it',
      'W1=4 W0=1 W0=2 R2 R0 W0=3 R5',
      '! c6 1 1',
    ],
    ['room after the last byte interrupts', 'W0=7 W1=2 R0', '! 7'],
    ['sixteen bytes look like none', `W2=1 ${'W0=9 '.repeat(16)}R5 R0`, '60 0'],
    ['no clear to send from a full FIFO with AFE', 'W4=20 W0=1 R6 R0 R6', 'a2 1 b3'],
    ['line and modem status cannot be written', 'W5=ff W6=ff R5 R6', '60 b3'],
  ])('%s', ([, script, expected]) => {
    expect(run(script)).toBe(expected);
  });
  test('goes on from its state', () => {
    const old = new UartPort(() => undefined);
    run('W2=1 W0=1 W0=2 W3=83 W0=c W3=3 W4=8 W7=5a', old);
    const fresh = new UartPort(() => undefined);
    fresh.restore(old.state());
    expect(fresh.state()).toEqual(old.state());
    expect(run('R0 R0 R3 R4 R5 R7', fresh)).toBe('1 2 3 8 60 5a');
  });
  test('any bytes are some state', () => {
    const port = new UartPort(() => undefined);
    port.restore(new Uint8Array(UART_STATE_SIZE).fill(0xff));
    for (let register = 0; register < 8; register++) {
      expect(port.read(register)).toBeLessThanOrEqual(0xff);
    }
  });
});
