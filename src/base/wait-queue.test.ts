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
const now = (attempt: () => void): void => attempt();
test('each event goes to one blocked reader, in their order, and to none that was cancelled', () => {
  const q = new FaultQueue();
  const got: string[] = [];
  run(
    () => q.read(),
    (v) => got.push(`a${v}`),
    now,
  );
  const cancelB = run(
    () => q.read(),
    (v) => got.push(`b${v}`),
    now,
  );
  run(
    () => q.read(),
    (v) => got.push(`c${v}`),
    now,
  );
  q.push(1);
  cancelB();
  q.push(2);
  q.push(3);
  expect(got).toEqual(['a1', 'c2']);
});

test('a woken attempt is made later, unless it is cancelled before', () => {
  const q = new FaultQueue();
  const got: number[] = [];
  const kept: (() => void)[] = [];
  const begin = () =>
    run(
      () => q.read(),
      (v) => got.push(v),
      (attempt) => kept.push(attempt),
    );
  begin();
  const cancel = begin();
  q.push(1);
  q.push(2);
  expect(got).toEqual([]);
  cancel();
  for (const attempt of kept) attempt();
  expect(got).toEqual([1]);
});
