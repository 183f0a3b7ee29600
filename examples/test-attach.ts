/**
 * Would it work? A list of attaches is asked about at once, without attaching anything, by the operation of "iommu:
 * Introduce a test_dev domain op and an internal helper" (Nicolin Chen, October 2025; docs/linux/core.md 6).
 *
 * Each answer is the errno the real call would give, the stage that refuses, and the reason in words. Afterwards the
 * real calls are made, and agree. Run: npx tsx examples/test-attach.ts
 */
import { Machine, type SimDevice, type SimDomain, SoftIommuError } from 'softiommu';
import { testAttach, type TestInput } from 'softiommu/core';
import { runIfMain, type Print } from './run.ts';

export function main(print: Print): void {
  const machine = new Machine('preset:two-iommus');
  const wide = machine.device('0000:00:04.0');
  const narrow = machine.device('0000:00:05.0');
  const domains = { '48-bit': wide.allocDomain(), '39-bit': narrow.allocDomain() };
  const before = machine.kernel.stateDigest();

  const questions = [wide, narrow].flatMap((device) =>
    Object.entries(domains).map(([name, domain]) => ({ device, name, domain })),
  );
  const inputs = questions.map(({ device, domain }): TestInput => ({
    domain: domain.kernel,
    target: device.kernel.dev,
  }));
  const report = testAttach(inputs);
  for (const result of report.results) {
    const { device, name } = questions[result.index]!;
    const answer = result.errno ? `${result.errno.name} (${result.stage}): ${result.reason}` : 'ok';
    print(`${name} domain on ${device.address}: ${answer}`);
  }
  if (machine.kernel.stateDigest() !== before) throw new Error('the test changed something');

  for (const [index, { device, domain }] of questions.entries()) {
    const real = attachOnce(device, domain);
    const predicted = report.errnos[index]?.name;
    if (real !== predicted) throw new Error(`predicted ${predicted}, got ${real}`);
  }
  print('the real attaches gave the same answers');
  for (const domain of Object.values(domains)) domain.free();
  machine.close();
}

/** The errno of a real attach; undone when it succeeds. */
function attachOnce(device: SimDevice, domain: SimDomain): string | undefined {
  device.claim(device);
  try {
    device.attach(domain);
    device.detach(domain);
    return undefined;
  } catch (error) {
    if (error instanceof SoftIommuError) return error.code;
    throw error;
  } finally {
    device.release();
  }
}

runIfMain(import.meta.url, main);
