/** Failures by hand: a test says from call to call what fails. */
import type { FailPoint, FaultDoor } from '../../base/fail-points.ts';

export class FaultSwitch implements FaultDoor {
  /** Asked at every point; undefined: nothing fails. */
  when: ((point: FailPoint) => boolean) | undefined;

  fails(point: FailPoint): boolean {
    return this.when?.(point) === true;
  }
}
