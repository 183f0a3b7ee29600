/** Two runs at once, of which one does nothing for a while, and a run in a run. */
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { ENVIRONMENTS, softiommu, startSoftiommu, strayDirectories } from './environments.ts';
import { MAIN } from './project.ts';

const directory = mkdtempSync(join(tmpdir(), 'two-runs-'));
chmodSync(directory, 0o755); // nobody looks into it
afterAll(() => {
  rmSync(directory, { recursive: true });
  expect(strayDirectories()).toEqual([]);
});
const VENDOR = '0000:00:04.0/vendor';

describe.for(ENVIRONMENTS)('$name', (environment) => {
  const it = environment.skip === undefined ? test : test.skip;

  it('a run that is stopped keeps its directory while others come and go', async () => {
    const go = join(directory, environment.name);
    const wait = `while [ ! -e "${go}" ]; do sleep 0.05; done`;
    const script = `cd /sys/bus/pci/devices; echo there; ${wait}; cat ${VENDOR}; pwd`;
    const stopped = startSoftiommu(['sh', '-c', script], { environment });
    let said = '';
    const begun = new Promise<void>((resolve) => {
      stopped.stdout!.on('data', (data: Buffer) => {
        said += data.toString();
        resolve();
      });
    });
    await begun;
    stopped.kill('SIGSTOP');
    // One of the same user, and one of whoever tests.
    for (const options of [{ environment }, {}]) {
      const { stdout } = softiommu(['cat', `/sys/bus/pci/devices/${VENDOR}`], options);
      expect(stdout).toBe('0x1234\n');
    }
    stopped.kill('SIGCONT');
    const ended = new Promise((resolve) => stopped.on('close', resolve));
    writeFileSync(go, '');
    expect(await ended).toBe(0);
    expect(said).toBe('there\n0x1234\n/sys/bus/pci/devices\n');
  });
  it('a run in a run is refused with a line', () => {
    const { status, stdout, stderr } = softiommu([process.execPath, MAIN, 'run', '--', 'true'], {
      environment,
    });
    expect([status, stdout]).toEqual([125, '']);
    expect(stderr.trimEnd().split('\n').at(-1)).toBe(
      "softiommu: somebody answers this process's system calls already, as another softiommu run does for its programs: start this one outside of it",
    );
  });
});
