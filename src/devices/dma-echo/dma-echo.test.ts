import { expect, test } from 'vitest';
import { plugInto } from '../../testing/devices/fake-port.ts';
import { dmaEcho, ECHO_REG as REG, ECHO_STATUS } from './dma-echo.ts';

function started(from: number, to: number, length: number) {
  const { device, port } = plugInto(dmaEcho);
  port.memory.set([1, 2, 3, 4], 0x1000);
  device.mmioWrite(0, REG.from, 8, BigInt(from));
  device.mmioWrite(0, REG.to, 8, BigInt(to));
  device.mmioWrite(0, REG.length, 4, BigInt(length));
  return { device, port, status: () => device.mmioRead(0, REG.status, 4) };
}

test('bytes are written elsewhere, later, and a message tells of it', () => {
  const { port, status } = started(0x1000, 0x2000, 4);
  expect([status(), port.touched]).toEqual([ECHO_STATUS.busy, []]);
  port.clock.advance(40);
  expect([...port.memory.subarray(0x2000, 0x2005)]).toEqual([1, 2, 3, 4, 0]);
  expect([status(), port.messages]).toEqual([ECHO_STATUS.done, [0]]);
});
test.for([
  [0x7fff_0000, 0x2000],
  [0x1000, 0x7fff_0000],
])('from 0x%x to 0x%x is refused, which it says', ([from, to]) => {
  const { port, status } = started(from!, to!, 4);
  port.clock.advance(40);
  expect([status(), port.messages]).toEqual([ECHO_STATUS.refused, [0]]);
});
test('a length while it is busy is ignored', () => {
  const { device, port } = started(0x1000, 0x2000, 4);
  device.mmioWrite(0, REG.length, 4, 2n);
  port.clock.advance(1000);
  expect([device.mmioRead(0, REG.length, 4), port.messages]).toEqual([4n, [0]]);
});
