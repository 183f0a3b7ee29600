/** Queues as plain values, and back: a part of the state of a controller. */
import { Command, type CommandAnswer } from './command.ts';
import type { CompletionQueue, QueuePlace, SubmissionQueue } from './queue.ts';

/** All queues of a controller. */
export interface QueueState {
  readonly completions: readonly {
    readonly place: QueuePlace;
    readonly vector: number | undefined;
    readonly head: number;
    readonly tail: number;
    readonly phase: number;
    readonly waiting: readonly CommandAnswer[];
  }[];
  readonly submissions: readonly {
    readonly place: QueuePlace;
    readonly completions: number;
    readonly head: number;
    readonly tail: number;
    readonly stopped: boolean;
    readonly since: number;
    readonly expected: number | undefined;
    /** Commands under way. */
    readonly live: readonly Uint8Array[];
  }[];
}

/** Where queues are kept. */
interface Queues {
  readonly submissions: Map<number, SubmissionQueue>;
  readonly completions: Map<number, CompletionQueue>;
  addCompletionQueue(place: QueuePlace, vector: number | undefined): CompletionQueue;
  addSubmissionQueue(place: QueuePlace, completions: CompletionQueue): SubmissionQueue;
}

/** A copy of them. */
export function queueState(queues: Queues): QueueState {
  return {
    completions: [...queues.completions.values()].map((queue) => ({
      place: queue.place,
      vector: queue.vector,
      head: queue.head,
      tail: queue.tail,
      phase: queue.phase,
      waiting: [...queue.waiting],
    })),
    submissions: [...queues.submissions.values()].map((queue) => ({
      place: queue.place,
      completions: queue.completions.place.id,
      head: queue.head,
      tail: queue.tail,
      stopped: queue.stopped,
      since: queue.since,
      expected: queue.expected,
      live: [...queue.live].map(({ bytes }) => bytes.slice()),
    })),
  };
}

/** Make them again, where none are. */
export function restoreQueues(queues: Queues, state: QueueState): void {
  for (const { place, vector, head, tail, phase, waiting } of state.completions) {
    const queue = queues.addCompletionQueue(place, vector);
    Object.assign(queue, { head, tail, phase });
    queue.waiting.push(...waiting);
  }
  for (const { place, completions, live, ...rest } of state.submissions) {
    const queue = queues.addSubmissionQueue(place, queues.completions.get(completions)!);
    Object.assign(queue, rest);
    for (const bytes of live) queue.live.add(new Command(place.id, bytes.slice()));
  }
}
