/** Failures by hand: a test says from call to call what fails. */
import type { FailPoint, FailPolicy } from '../../base/fail-points.ts';

export class FaultSwitch implements FailPolicy {
  /** Asked at every point; undefined: nothing fails. */
  when: ((point: FailPoint) => boolean) | undefined;

  fails(point: FailPoint): boolean {
    return this.when?.(point) === true;
  }
}
