/** Doorbell pages of a context: their places, their limit, and what a failure leaves (iommufd.md 4.6). */
import { expect, test } from 'vitest';
import { EADDRINUSE, EOVERFLOW, isErrno } from '../base/errno.ts';
import { IOMMU_READ } from '../core/contract/domain.ts';
import { iommuMap } from '../core/map/map.ts';
import { World } from '../testing/iommufd/world.ts';
import { noiommuAllocPaging } from './hwpt-noiommu.ts';
import { groupSetupMsi, MAX_SW_MSI_PAGES, swMsi, SwMsiPages, type SwMsiPage } from './sw-msi.ts';

const WINDOW = 0x800_0000n;
const OTHER_WINDOW = 0x900_0000n;
const PAGE = 0x1000n;

function hwpt() {
  const domain = noiommuAllocPaging(new World().subsystem, 0, undefined);
  if (isErrno(domain)) throw new Error(domain.name);
  return { domain, presentSwMsi: new Set<SwMsiPage>() };
}
function group(swMsiStart: bigint = WINDOW) {
  return { swMsiStart, requiredSwMsi: new Set<SwMsiPage>() };
}
const doorbell = (n: number): bigint => 0x1_0000_0000n + BigInt(n) * PAGE;

test('the n-th doorbell of a window stands at its n-th page, wherever it is mapped', () => {
  const pages = new SwMsiPages();
  const [one, two] = [hwpt(), hwpt()];
  const [a, b] = [group(), group()];
  expect(swMsi(pages, one, a, doorbell(7) + 0x40n)).toBe(WINDOW + 0x40n);
  expect(swMsi(pages, one, a, doorbell(3))).toBe(WINDOW + PAGE);
  expect(swMsi(pages, two, b, doorbell(3) + 4n)).toBe(WINDOW + PAGE + 4n);
  expect(one.presentSwMsi.size).toBe(2);
  expect(two.domain.pt!.iovaToPhys(WINDOW + PAGE)).toBe(doorbell(3));
  expect(two.domain.pt!.iovaToPhys(WINDOW)).toBe(0n);
  expect(groupSetupMsi(a, two)).toBeUndefined();
  expect(two.domain.pt!.iovaToPhys(WINDOW)).toBe(doorbell(7));
});

test('windows are filled each for itself', () => {
  const pages = new SwMsiPages();
  const one = hwpt();
  expect(swMsi(pages, one, group(), doorbell(0))).toBe(WINDOW);
  expect(swMsi(pages, one, group(OTHER_WINDOW), doorbell(0))).toBe(OTHER_WINDOW);
  expect(swMsi(pages, one, group(OTHER_WINDOW), doorbell(1))).toBe(OTHER_WINDOW + PAGE);
});

test('without a window messages are not translated', () => {
  const one = hwpt();
  const none = { swMsiStart: undefined, requiredSwMsi: new Set<SwMsiPage>() };
  expect(swMsi(new SwMsiPages(), one, none, doorbell(0))).toBe(doorbell(0));
  expect(one.presentSwMsi.size).toBe(0);
});

test('a context has 64 doorbell pages, over all its windows; what is known stays known', () => {
  const pages = new SwMsiPages();
  const one = hwpt();
  for (let n = 0; n < MAX_SW_MSI_PAGES; n++) {
    const at = swMsi(pages, one, group(n % 2 ? OTHER_WINDOW : WINDOW), doorbell(n));
    expect(isErrno(at)).toBe(false);
  }
  const late = group();
  expect(swMsi(pages, one, late, doorbell(MAX_SW_MSI_PAGES))).toBe(EOVERFLOW);
  expect(late.requiredSwMsi.size).toBe(0);
  expect(swMsi(pages, one, late, doorbell(62))).toBe(WINDOW + 31n * PAGE);
});

test('a doorbell that cannot be mapped is refused, and not required of the next hwpt', () => {
  const pages = new SwMsiPages();
  const one = hwpt();
  const a = group();
  expect(iommuMap(one.domain, WINDOW, 0n, PAGE, IOMMU_READ)).toBeUndefined();
  expect(swMsi(pages, one, a, doorbell(0))).toBe(EADDRINUSE);
  expect([one.presentSwMsi.size, a.requiredSwMsi.size]).toEqual([0, 0]);
});
