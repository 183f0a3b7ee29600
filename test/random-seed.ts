/**
 * The seed of every property test. A check judges the change, not the day: it is the same in each run, unless
 * SOFTIOMMU_RANDOM_SEED gives another number, or `new` to take one that was never tried. What fails prints its seed.
 */
import fc from 'fast-check';

const wish = process.env['SOFTIOMMU_RANDOM_SEED'];
/** 31 bits: what fast-check takes. */
export const SEED = wish === 'new' ? Date.now() & 0x7fff_ffff : Number(wish ?? 1);
if (!Number.isInteger(SEED)) {
  throw new Error(`SOFTIOMMU_RANDOM_SEED is ${wish}: give a whole number, or new`);
}

fc.configureGlobal({ ...fc.readConfigureGlobal(), seed: SEED });
