/** A page of shared memory that somebody outside of the run takes away is EFAULT to the device, and no signal to softiommu. */
import { rmSync, truncateSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { describe, expect, test } from 'vitest';
import { ENVIRONMENTS, startSoftiommu } from './environments.ts';
import { PROJECT } from './project.ts';

const PROGRAM = join(PROJECT, 'test/host/programs/shrinks.py');

describe.for(ENVIRONMENTS)('$name', (environment) => {
  const it = environment.skip === undefined ? test : test.skip;

  it('a file is made shorter under a device: the rest of it goes on, and all when it has grown again', async () => {
    const child = startSoftiommu(['/usr/bin/python3', PROGRAM], { environment });
    const ended = new Promise((resolve) =>
      child.on('close', (code, signal) => resolve(signal ?? code)),
    );
    let complaints = '';
    child.stderr!.on('data', (data) => (complaints += String(data)));
    const said: string[] = [];
    for await (const line of createInterface(child.stdout!)) {
      if (line.startsWith('/')) {
        truncateSync(line, 4096);
        rmSync(line);
      } else said.push(line);
    }
    expect(said).toEqual([
      "before: b'one'",
      'size: 4096',
      "what is left: b'six'",
      String.raw`again: b'\x00\x00\x00'`,
      "written: b'ten'",
    ]);
    expect([complaints, await ended]).toEqual(['', 0]);
  });
});
