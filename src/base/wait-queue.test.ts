import { expect, test } from 'vitest';
import { run, WaitQueue, type Outcome } from './wait-queue.ts';
class FaultQueue {
  readonly #deliver: number[] = [];
  readonly wait = new WaitQueue();
  push(event: number): void {
    this.#deliver.push(event);
    this.wait.wakeAll();
  }
  read(): Outcome<number> {
    return this.#deliver.shift() ?? this.wait;
  }
}
test('two blocked readers, one event, one cancelled', () => {
  const q = new FaultQueue();
  const got: string[] = [];
  run(
    () => q.read(),
    (v) => got.push(`a${v}`),
  );
  const cancelB = run(
    () => q.read(),
    (v) => got.push(`b${v}`),
  );
  run(
    () => q.read(),
    (v) => got.push(`c${v}`),
  );
  q.push(1);
  cancelB();
  q.push(2);
  q.push(3);
  expect(got).toEqual(['a1', 'c2']);
});
