/** The release of softiommu that runs. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { PACKAGE } from '../host/sys/package-files.ts';

/** As package.json has it. */
export function packageVersion(): string {
  try {
    const text = readFileSync(join(PACKAGE, 'package.json'), 'utf8');
    // cast: npm has read it too
    return (JSON.parse(text) as { version?: string }).version ?? '0';
  } catch {
    return 'unknown'; // run from an unusual place
  }
}
