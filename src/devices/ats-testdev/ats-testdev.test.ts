/** The vectors of devices.md 8.2, and requests that software answers late, wrongly or never. */
import { describe, expect, test } from 'vitest';
import { plugInto } from '../../testing/devices/fake-port.ts';
import { EFAULT } from '../../base/errno.ts';
import { ATS_REG as REG, ATS_WITH_PASID, atsTestdev } from './ats-testdev.ts';

const AT = 0x4000;
const RUN_FROM_MEMORY = 3;
const RUN_TO_MEMORY = 1;
const NOWHERE = 0x7fff_0000;

function setup(options: Record<string, number | boolean> = {}) {
  const { device, port } = plugInto(atsTestdev, options);
  port.memory.fill(0x42, AT, AT + 0x1000);
  const read = (at: number, width = 4): bigint => device.mmioRead(0, at, width);
  const write = (at: number, value: number | bigint, width = 4): void =>
    device.mmioWrite(0, at, width, BigInt(value));
  return {
    device,
    port,
    read,
    write,
    run(at: number, command: number): bigint {
      write(REG.address, at, 8);
      write(REG.command, command);
      port.clock.advance(0);
      return read(REG.command);
    },
    page: (at: number) => [...new Set(port.memory.subarray(at, at + 0x1000))],
  };
}
/** With page requests on, on a page that is not there. */
function waiting() {
  const rig = setup();
  rig.port.flip('ats', true);
  rig.port.flip('pageRequests', true);
  expect(rig.run(NOWHERE, RUN_FROM_MEMORY)).toBe(3n);
  expect(rig.port.pages).toHaveLength(1);
  return rig;
}

describe('vectors', () => {
  test('V1 V2 V3 the address is 8 bytes or two halves, and nothing is beside the registers', () => {
    const { read, write } = setup();
    expect(read(0, 8)).toBe(0n);
    write(0, 0x89ab_cdef);
    write(4, 0x0123_4567);
    expect(read(0, 8)).toBe(0x0123_4567_89ab_cdefn);
    expect([read(0xc), read(0x10), read(0x800)]).toEqual([
      0xffff_ffffn,
      0xffff_ffffn,
      0xffff_ffffn,
    ]);
    write(0x10, 5);
    expect(read(0x10)).toBe(0xffff_ffffn);
  });
  test('V4 a command without RUN moves nothing', () => {
    const rig = setup();
    expect(rig.run(AT, 2)).toBe(2n);
    expect(rig.port.touched).toEqual([]);
  });
  test('V5 V6 a page comes in and goes out, and RUN is up meanwhile', () => {
    const rig = setup();
    rig.write(REG.address, AT, 8);
    rig.write(REG.command, RUN_FROM_MEMORY);
    expect(rig.read(REG.command)).toBe(3n);
    rig.port.clock.advance(0);
    expect(rig.read(REG.command)).toBe(2n);
    expect(rig.run(0x8080, RUN_TO_MEMORY)).toBe(0n);
    expect(rig.page(0x8080)).toEqual([0x42]);
  });
  test('V7 without page requests a refusal ends it, and the buffer stays', () => {
    const rig = setup();
    rig.run(AT, RUN_FROM_MEMORY);
    expect(rig.run(NOWHERE, RUN_FROM_MEMORY)).toBe(2n);
    rig.run(0x8000, RUN_TO_MEMORY);
    expect([rig.page(0x8000), rig.port.pages]).toEqual([[0x42], []]);
  });
});

describe('vectors of page requests', () => {
  test('V8 with page requests it waits, and goes on when software has answered', () => {
    const rig = waiting();
    expect(rig.port.pages[0]!.request).toEqual({
      ...{ at: BigInt(NOWHERE), read: true, write: false, last: true, group: 1 },
    });
    rig.port.clock.advance(1e9);
    expect(rig.read(REG.command)).toBe(3n);
    rig.port.pages[0]!.respond(0);
    rig.port.clock.advance(0);
    expect(rig.port.pages).toHaveLength(2); //         it is still not there
    expect(rig.read(REG.command)).toBe(3n);
  });
  test.for([1, 15])('V9 the answer %i ends it', (code) => {
    const rig = waiting();
    rig.port.pages[0]!.respond(code);
    expect(rig.read(REG.command)).toBe(2n);
  });
  test('V10 a reset forgets, also what is asked for', () => {
    const rig = waiting();
    rig.device.reset('flr');
    expect([rig.read(0, 8), rig.read(8)]).toEqual([0n, 0n]);
    rig.port.pages[0]!.respond(0);
    rig.port.touched.length = 0;
    rig.port.clock.advance(1e9);
    expect([rig.read(8), rig.port.touched, rig.port.pages.length]).toEqual([0n, [], 1]);
  });
});

describe('with ATS', () => {
  /** Pages by number: may they be written? Those that are not here are not mapped. */
  function translated(pages: Readonly<Record<number, boolean>>) {
    const rig = setup();
    rig.port.flip('ats', true);
    rig.port.flip('pageRequests', true);
    rig.port.ats.translate = (at) => {
      const write = pages[Number(at >> 12n)];
      const range = { iova: at, address: at, length: 0x1000n };
      return { ...range, read: write !== undefined, write: write === true };
    };
    return rig;
  }
  test('V11 what may only be read is asked for before it is written', () => {
    const rig = translated({ 4: false });
    expect(rig.run(AT, RUN_TO_MEMORY)).toBe(1n);
    expect(rig.port.touched).toEqual([]);
    expect(rig.port.pages[0]!.request).toMatchObject({ at: 0x4000n, read: false, write: true });
    expect(rig.page(AT)).toEqual([0x42]);
  });
  test('what may be read is read', () => {
    expect(translated({ 4: false }).run(AT, RUN_FROM_MEMORY)).toBe(2n);
  });
  test('of two pages the one that is missing is asked for', () => {
    const rig = translated({ 4: true });
    rig.run(AT + 8, RUN_FROM_MEMORY);
    expect(rig.port.pages[0]!.request.at).toBe(0x5000n);
  });
  test('an IOMMU that refuses to say is asked by the transfer', () => {
    const rig = setup();
    rig.port.flip('ats', true);
    rig.port.ats.translate = () => EFAULT;
    expect(rig.run(AT, RUN_FROM_MEMORY)).toBe(2n);
  });
});

test('while it runs no other command is taken', () => {
  const rig = waiting();
  rig.write(REG.command, 0);
  expect(rig.read(REG.command)).toBe(3n);
});
test('a late answer to another request is not heard', () => {
  const rig = waiting();
  rig.port.pages[0]!.respond(15);
  rig.run(NOWHERE, RUN_FROM_MEMORY);
  rig.port.pages[0]!.respond(15);
  expect(rig.read(REG.command)).toBe(3n);
});
test('what waits, restored into another, asks again', () => {
  const rig = waiting();
  const other = setup();
  other.port.flip('pageRequests', true);
  other.device.restore(structuredClone(rig.device.state()));
  other.port.clock.advance(0);
  expect(other.port.pages.map(({ request }) => request.at)).toEqual([BigInt(NOWHERE)]);
});
test('transfers and requests carry the PASID, where the device has them', () => {
  const rig = setup({ pasid_bits: 16 });
  const pasids: (number | undefined)[] = [];
  rig.port.dma.read = (_from, _into, pasid) => {
    pasids.push(pasid);
    return EFAULT;
  };
  rig.port.flip('pageRequests', true);
  rig.write(REG.pasid, ATS_WITH_PASID + 5);
  rig.run(AT, RUN_FROM_MEMORY);
  expect([pasids, rig.port.pages[0]!.request.pasid]).toEqual([[5], 5]);
});
