/** The refusals of the kernel, as the reference has them (docs/errno.md). */
import { readFileSync } from 'node:fs';
import { packageFile } from '../host/sys/package-files.ts';
import { parseReference, type KnownRefusal } from '../insight/explain/reference.ts';

/** All of them; read anew each time. */
export function knownRefusals(): KnownRefusal[] {
  return parseReference(readFileSync(packageFile('docs/errno.md'), 'utf8'));
}
