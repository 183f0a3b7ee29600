/** Where events go, one after the other: a view, or a selection before it. */
import type { Stamped } from '../../base/events.ts';

/** A listener for `Trace.listen`, with what it still holds. */
export interface TraceSink {
  take(stamped: Stamped): void;
  /** Give on what is held back: at the end. */
  flush(): void;
}
