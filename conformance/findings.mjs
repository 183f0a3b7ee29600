// `--sanitize KINDS` of any suite: every `softiommu run` in it watches with the DMA sanitizer, its findings go to a file of
// its own, and here they are counted. A suite none of whose runs was watched has failed.
import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { printTable } from './reports.mjs';

/** The status of a suite, run under the sanitizer. */
export async function sanitized(kinds, run) {
  const home = mkdtempSync(join(tmpdir(), 'conformance-findings-'));
  chmodSync(home, 0o1777); // some programs are run as other users
  process.env.SOFTIOMMU_OPTIONS = `sanitize=${kinds}:findings=${join(home, 'run')}`;
  try {
    const status = await run();
    return tell(home) ? status : 1;
  } finally {
    rmSync(home, { recursive: true });
  }
}

/** Prints what was found. True: nothing, in at least one run. */
function tell(home) {
  const files = readdirSync(home);
  const found = new Map();
  for (const file of files) {
    for (const finding of findingsIn(readFileSync(join(home, file), 'utf8'))) {
      found.set(finding, (found.get(finding) ?? 0) + 1);
    }
  }
  const rows = [...found];
  console.log(`\n${files.length} runs under the DMA sanitizer: ${rows.length} findings`);
  if (rows.length > 0) printTable(['finding', 'runs'], rows);
  return files.length > 0 && rows.length === 0;
}

/** Each of one run by its kind and summary, without what differs from run to run: one that came often counts once. */
function findingsIn(text) {
  const summaries = text.matchAll(/^SUMMARY: DMA sanitizer: (.*?)(?:: \d+ times)?$/gm);
  return new Set([...summaries].map(([, summary]) => summary.replaceAll(/0x[0-9a-f]+/g, '0x…')));
}
