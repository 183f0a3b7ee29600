import fc from 'fast-check';
import { expect, test } from 'vitest';
import { resolveHardware, writeCap, writeEcap, type IntelHardwareConfig } from './hardware.ts';
import { seenIntelOptions } from './seen-options.ts';
import { intelType } from './type.ts';

/** As Linux shows them. */
function texts(config: IntelHardwareConfig): [cap: string, ecap: string] {
  const hw = resolveHardware(config);
  const [cap, ecap] = [new Int32Array(2), new Int32Array(2)];
  writeCap(hw, cap, 0);
  writeEcap(hw, ecap, 0);
  return [text(cap), text(ecap)];
}
function text([low = 0, high = 0]: Int32Array): string {
  return `${((BigInt(high >>> 0) << 32n) | BigInt(low >>> 0)).toString(16)}\n`;
}

const flag = fc.boolean();
const unit = fc.record({
  scalable: flag,
  width: fc.constantFrom(39, 48, 57),
  superpage2m: flag,
  superpage1g: flag,
  snoopControl: flag,
  coherentWalks: flag,
  ssade: flag,
  ats: flag,
  pageRequests: flag,
  passThrough: flag,
  pasidBits: fc.nat(20),
  domainIdBits: fc.constantFrom(4, 6, 8, 10, 12, 14, 16),
  firstStage: flag,
  firstStage5: flag,
  firstStage1g: flag,
  nested: fc.constant(undefined),
  faultRecords: fc.integer({ min: 1, max: 256 }),
});
/** One width stands for every table the unit can walk. */
const config = ({ width, ...rest }: { readonly width: number }): IntelHardwareConfig => ({
  ...rest,
  widths: [39, 48, 57].filter((each) => each <= width),
  mgaw: width,
});

test('a unit is what its registers say, whatever its options were', () => {
  fc.assert(
    fc.property(unit, (options) => {
      const before = config(options);
      const seen = seenIntelOptions(...texts(before))!;
      expect(resolveHardware(config(seen))).toEqual(resolveHardware(before));
    }),
  );
});
test('an entry says what is not so by default, and nothing else', () => {
  const seen = (given: IntelHardwareConfig) => intelType.seen!.options(texts(given));
  expect(seen(config({ width: 48 }))).toEqual({});
  expect(seen({ ...config({ width: 39 }), superpage1g: false })).toEqual({
    width: 39,
    superpage1g: false,
  });
  expect(seen({ ...config({ width: 48 }), scalable: false })).toEqual({ scalable: false });
});
test.each([
  [
    'a client of 2014, 39 bits, legacy',
    '1c0000c40660462',
    'f0101a',
    { width: 39, scalable: false },
  ],
  ['a server of 2017, 48 bits, legacy', '8d2078c106f0466', 'f020df', { scalable: false }],
])('of %s', (_, cap, ecap, options) => {
  expect(intelType.seen!.options([`${cap}\n`, `${ecap}\n`])).toMatchObject(options);
});
test.each(['', 'd2008c40660462', '0x1\n', '12345678123456781\n', 'no\n'])(
  'no text of Linux: %j',
  (text) => expect(intelType.seen!.options([text, '1\n'])).toBeUndefined(),
);
