/** A turn of the wait loop that never ends: it is said, and the run can be ended. */
import { spawn } from 'node:child_process';
import { expect, test } from 'vitest';
import { compile, ENVIRONMENTS, startSoftiommu } from './environments.ts';
import { ended, newMark, nothingLeft, said } from './processes.ts';

/** After the report, or in the same turn before it, as whoever sends a signal only once does. */
const WHENS = ['after the report', 'before the report'] as const;
const places = ENVIRONMENTS.flatMap((environment) => WHENS.map((when) => ({ environment, when })));

test.for(places)(
  'a stuck turn is one line, and a signal $when ends the run, $environment.name',
  async ({ environment, when }, { skip }) => {
    skip(environment.skip !== undefined, environment.skip);
    const mark = newMark();
    const script = `trap "" TERM; sleep ${mark} & echo ready; while :; do ls /dev/vfio/none; done`;
    const child = startSoftiommu(['sh', '-c', `exec 2>&-; ${script}`], { environment });
    const end = ended(child);
    await said(child, 'ready');
    const hold = [...environment.prefix, compile('test/host/programs/hold-turn.c')];
    const holder = spawn(hold[0]!, [...hold.slice(1), String(child.pid)]);
    await said(holder, 'held');
    const reported = said(child, 'stuck since');
    if (when === 'before the report') child.kill('SIGTERM');
    await reported;
    if (when === 'after the report') child.kill('SIGTERM');
    const { signal, stderr } = await end;
    expect(signal).toBe('SIGTERM');
    expect(stderr).toMatch(
      /^softiommu: stuck since \d\d:\d\d:\d\d in a call of process \d+ \(\w+\): \w+; .* ends the run\nsoftiommu: ended with the run: .+ \(\d+\)\n$/,
    );
    await nothingLeft(mark);
  },
);
