/** Submission and completion queues: where they are, how far each side has come (vfio.md 6.2, devices.md 4.5). */
import type { Status } from '../../base/errno.ts';
import type { DeviceDma } from '../port.ts';
import { fetchEntries, ringPieces } from '../unit/ring.ts';
import { CQE_SIZE, SQE_SIZE, type CommandAnswer, type Command } from './command.ts';

/** A ring in memory. */
export interface QueuePlace {
  readonly id: number;
  readonly base: bigint;
  readonly entries: number;
}

/** After so many commands that came alone it is seen again how many come together; what comes together counts as 8. */
const LOOK_AGAIN = 256;
const TOGETHER = 8;

/** Commands of the host. */
export class SubmissionQueue {
  readonly place: QueuePlace;
  readonly completions: CompletionQueue;
  /** Next entry to fetch, and the host's next to fill. */
  head = 0;
  tail = 0;
  /** Nothing more is fetched: its memory could not be read. */
  stopped = false;
  /** So many commands came together the last time; undefined: that has to be seen. */
  expected: number | undefined;
  /** What was fetched since that was seen. */
  since = 0;
  /** Fetched and not completed. */
  readonly live = new Set<Command>();

  constructor(place: QueuePlace, completions: CompletionQueue) {
    this.place = place;
    this.completions = completions;
  }
  get waiting(): number {
    const { entries } = this.place;
    return (this.tail - this.head + entries) % entries;
  }
  /**
   * Is it better to wait for more commands? A host with many under way rings once for each, and what is fetched together
   * is answered together. The host of the admin queue waits for each answer.
   */
  get expectsMore(): boolean {
    if (this.place.id === 0) return false;
    return this.waiting < (this.expected ?? this.place.entries - 1);
  }
  /** May another command be fetched? The host cannot have more under way than the ring has entries. */
  get room(): number {
    const { entries } = this.place;
    const taken = this.live.size + this.completions.waiting.length;
    // Answers to other queues may wait there too, more than this one has entries.
    return this.stopped ? 0 : Math.max(0, entries - taken);
  }
  /** At most so many entries, which have been fetched then. Fewer: it is stopped, the next could not be read. */
  fetch(dma: DeviceDma, most: number): Uint8Array[] {
    const { base, entries } = this.place;
    const count = Math.min(this.waiting, this.room, most);
    const fetched = fetchEntries(dma, { base, entries, entrySize: SQE_SIZE }, this.head, count);
    this.head = (this.head + fetched.length) % entries;
    this.stopped ||= fetched.length < count;
    this.#learn(fetched.length);
    return fetched;
  }
  /** A host that was late once is believed half of it. */
  #learn(together: number): void {
    if (together === 0) return;
    const { expected = 0 } = this;
    this.since = expected === 0 ? 0 : this.since + (together > 1 ? TOGETHER : 1);
    const learnt = Math.max(together, Math.floor((expected + together) / 2));
    this.expected = this.since < LOOK_AGAIN ? learnt : undefined;
  }
}

/** Answers of the controller. */
export class CompletionQueue {
  readonly place: QueuePlace;
  /** Undefined: nobody is interrupted. */
  readonly vector: number | undefined;
  /** The host's next entry to look at, and ours to fill. */
  head = 0;
  tail = 0;
  phase = 1;
  /** Submission queues that answer here. */
  users = 0;
  /** Not written yet. */
  readonly waiting: CommandAnswer[] = [];

  constructor(place: QueuePlace, vector: number | undefined) {
    this.place = place;
    this.vector = vector;
  }
  get #free(): number {
    const { entries } = this.place;
    return (this.head - this.tail - 1 + entries) % entries;
  }
  get isFull(): boolean {
    return this.#free === 0;
  }
  /** Write what has room, in one transfer. True: something was. EFAULT: the memory cannot be written; it is lost. */
  post(dma: DeviceDma): boolean | Status<'EFAULT'> {
    const { entries, base } = this.place;
    const count = Math.min(this.#free, this.waiting.length);
    if (count === 0) return false;
    const bytes = new Uint8Array(count * CQE_SIZE);
    const words = new DataView(bytes.buffer);
    const pieces = ringPieces({ base, entries, entrySize: CQE_SIZE }, this.tail, count);
    for (const [n, answer] of this.waiting.splice(0, count).entries()) {
      const at = n * CQE_SIZE;
      words.setUint32(at, answer.result, true);
      words.setUint16(at + 8, answer.sqHead, true);
      words.setUint16(at + 10, answer.sqId, true);
      words.setUint16(at + 12, answer.commandId, true);
      words.setUint16(at + 14, (answer.field << 1) | this.phase, true);
      this.tail = (this.tail + 1) % entries;
      if (this.tail === 0) this.phase ^= 1;
    }
    return dma.write(pieces, bytes) ?? true;
  }
}
