/** The fastest walker there is for a format and a policy. */
import { FORMATS } from '../all-formats.ts';
import { InterpretedWalker } from './interpreted.ts';
import type { PageWalker } from './walker.ts';
import { isWritable, type WrittenParts } from './written-parts.ts';
import { WRITTEN } from './written/index.ts';

/**
 * A walker for whatever format: a written-out one where the format comes with softiommu and the policy has no bits that
 * must be zero and no marks above bit 31; else the interpreted one. Both give the same answers.
 */
export function createWalker(parts: WrittenParts): PageWalker {
  const { format, policy } = parts;
  const isOurs = FORMATS.get(format.name) === format && isWritable(policy);
  const Written = isOurs ? WRITTEN.get(format.name) : undefined;
  return Written === undefined ? new InterpretedWalker(parts) : new Written(parts);
}
