/** Expressions of `run -e` on a machine of the library. */
import { expect, test } from 'vitest';
import { FaultPlanError, plannedFaults } from './faults.ts';
import { Machine } from './machine.ts';

test('a call fails when its rule is due, and no other', () => {
  const faults = plannedFaults(['inject=openat:error=EIO:when=2']);
  const program = new Machine('preset:default', { faults }).program();
  const open = () => program.open('/dev/iommu', { write: true });
  open();
  expect(open).toThrow(expect.objectContaining({ code: 'EIO' }));
  open();
});
test('an expression that means nothing is refused with its column', () => {
  expect(() => plannedFaults(['inject=openat:error=EWHAT'])).toThrow(FaultPlanError);
  expect(() => plannedFaults(['inject=openat:error=EWHAT'])).toThrow(/column 21: /);
});
