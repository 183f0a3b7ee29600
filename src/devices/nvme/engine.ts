/**
 * The queues of a controller at work: doorbells, fetching, completing, interrupting (devices.md 4.5, rules 3 and 7).
 *
 * A step fetches a bounded number of commands of one queue in one gather; what is left waits for the next, in turn with
 * the other queues. Answers of a step are written together, then the interrupts are sent.
 */
import { isErrno } from '../../base/errno.ts';
import { Delay } from '../unit/delay.ts';
import type { DevicePort, DmaPiece } from '../port.ts';
import { TurnBudget } from '../unit/turn-budget.ts';
import { Command } from './command.ts';
import { DataMoves, type Outgoing, type DataReceived } from './data-moves.ts';
import { CompletionQueue, SubmissionQueue, type QueuePlace } from './queue.ts';
import { queueState, restoreQueues, type QueueState } from './queue-state.ts';
import { ShadowDoorbells, type ShadowPlaces } from './shadow.ts';
import { STATUS, statusField } from './status.ts';

/** Commands of one step. */
const STEP = 64;
/** So long a host that sends several commands may need from one to the next. */
const PATIENCE_NS = 1e6;
/** Doorbells in memory are looked at so often while something is under way. */
const LOOK_NS = 1e6;

/** What the engine tells the controller. */
export interface EngineEvents {
  /** A fetched command: it calls complete() for it, now or later. */
  execute(command: Command): void;
  /** It ends with this status, which is no success. */
  failed(command: Command, status: number): void;
  /** The memory of a queue cannot be read or written. */
  queueFailed(id: number): void;
  /** A doorbell was rung that no queue has, or with a value that is none of its queue's. */
  badDoorbell(kind: 'register' | 'value'): void;
}

/** What an engine is at one moment. */
export interface QueueEngineState extends QueueState {
  /** Queues that wait for the next step, by their ids. */
  readonly ready: readonly number[];
  readonly toPost: readonly number[];
  readonly moreLeftNs: number | undefined;
  readonly shadow: ShadowPlaces | undefined;
  readonly lookLeftNs: number | undefined;
}

/** Every queue of one controller, by its id; 0 is the admin queue. */
export class QueueEngine {
  readonly submissions = new Map<number, SubmissionQueue>();
  readonly completions = new Map<number, CompletionQueue>();
  readonly #port: DevicePort;
  readonly #events: EngineEvents;
  /** In their turn. */
  readonly #ready = new Set<SubmissionQueue>();
  readonly #toPost = new Set<CompletionQueue>();
  /** Of commands that are live until it is moved. */
  readonly #data: DataMoves;
  readonly #budget: TurnBudget;
  /** Fetched, and live: what a turn had no work left for. */
  #toExecute: Command[] = [];
  readonly #more: Delay;
  /** Of a restored controller: what was under way begins again. */
  readonly #again: Delay;
  readonly #look: Delay;
  #shadow: ShadowDoorbells | undefined;
  #isStepping = false;

  constructor(port: DevicePort, events: EngineEvents) {
    this.#port = port;
    this.#events = events;
    this.#budget = new TurnBudget(port);
    this.#data = new DataMoves({
      dma: port.dma,
      isLive: (command) => this.isLive(command),
      complete: (command, status) => this.complete(command, status),
    });
    const inTurn = (run: () => void) => (): void => {
      this.#budget.renew();
      run();
    };
    this.#more = new Delay(
      port.clock,
      inTurn(() => this.#step()),
    );
    this.#again = new Delay(
      port.clock,
      inTurn(() => this.#executeAgain()),
    );
    this.#look = new Delay(port.clock, () => this.#lookAtMemory());
  }

  /** No queue is left, nothing is under way. */
  clear(): void {
    this.submissions.clear();
    this.completions.clear();
    this.#ready.clear();
    this.#toPost.clear();
    this.#data.clear();
    this.#toExecute = [];
    this.#more.cancel();
    this.#again.cancel();
    this.#look.cancel();
    this.#shadow = undefined;
  }
  /** From now on the doorbells of I/O queues are in memory. */
  useShadow(places: ShadowPlaces): void {
    const shadow = new ShadowDoorbells(this.#port.dma, places);
    for (const [id, { tail }] of this.submissions) if (id > 0) shadow.begin(id, { tail });
    for (const [id, { head }] of this.completions) if (id > 0) shadow.begin(id, { head });
    this.#shadow = shadow;
  }
  addCompletionQueue(place: QueuePlace, vector: number | undefined): CompletionQueue {
    const queue = new CompletionQueue(place, vector);
    this.completions.set(place.id, queue);
    return queue;
  }
  addSubmissionQueue(place: QueuePlace, completions: CompletionQueue): SubmissionQueue {
    const queue = new SubmissionQueue(place, completions);
    completions.users++;
    this.submissions.set(place.id, queue);
    return queue;
  }
  /** What is under way ends as aborted; what was not fetched is forgotten. */
  deleteSubmissionQueue(queue: SubmissionQueue): void {
    for (const command of [...queue.live]) this.complete(command, STATUS.ABORTED_SQ_DELETED);
    queue.completions.users--;
    this.submissions.delete(queue.place.id);
    this.#ready.delete(queue);
  }
  /** Its answers that had no room are lost. */
  deleteCompletionQueue(queue: CompletionQueue): void {
    this.completions.delete(queue.place.id);
    this.#toPost.delete(queue);
  }

  /** The host has filled entries up to there. */
  ringTail(id: number, tail: number): void {
    const queue = this.submissions.get(id);
    if (!queue) this.#events.badDoorbell('register');
    else if (tail >= queue.place.entries) this.#events.badDoorbell('value');
    else {
      queue.tail = tail;
      this.#followTail(queue);
      this.kick(queue);
    }
  }
  /** The host may have gone on since, without ringing. True: it has. */
  #followTail(queue: SubmissionQueue): boolean {
    const { id, entries } = queue.place;
    const before = queue.tail;
    if (id > 0) queue.tail = this.#shadow?.tail(id, entries) ?? before;
    return queue.tail !== before;
  }
  /** The host has seen answers up to there. */
  ringHead(id: number, head: number): void {
    const queue = this.completions.get(id);
    if (!queue) this.#events.badDoorbell('register');
    else if (head >= queue.place.entries) this.#events.badDoorbell('value');
    else this.#moveHead(queue, head);
  }
  #moveHead(queue: CompletionQueue, head: number): void {
    queue.head = head;
    if (queue.waiting.length === 0) return;
    this.#toPost.add(queue);
    this.#readyUsers(queue);
    this.#stepOrLater();
  }
  /** Those whose commands waited for room among its answers. */
  #readyUsers(queue: CompletionQueue): void {
    for (const user of this.submissions.values()) {
      if (user.completions === queue && user.waiting > 0) this.#ready.add(user);
    }
  }
  /** The doorbells as they were rung last: those of tails at even places, of heads at odd ones. */
  rung(index: number): number {
    const id = index >>> 1;
    const end = (index & 1) === 0 ? this.submissions.get(id)?.tail : this.completions.get(id)?.head;
    return end ?? 0;
  }
  /** There may be something to fetch. */
  kick(queue: SubmissionQueue): void {
    if (queue.waiting === 0 || queue.stopped) return;
    this.#ready.add(queue);
    if (!queue.expectsMore || queue.waiting >= STEP) this.#stepOrLater();
    else if (!this.#isStepping && !this.#endsSome) this.#more.restart(PATIENCE_NS);
  }

  /** The next step answers something. */
  get #endsSome(): boolean {
    return this.#toPost.size > 0 || !this.#data.isIdle;
  }

  isLive(command: Command): boolean {
    return this.submissions.get(command.sqId)?.live.has(command) === true;
  }
  /** The command has ended. Nothing, when it is not live any more: its queue was deleted, or the controller reset. */
  complete(command: Command, status: number): void {
    const queue = this.submissions.get(command.sqId);
    if (!queue?.live.delete(command)) return;
    if (status !== STATUS.SUCCESS) this.#events.failed(command, status);
    this.#answer(queue, command, status);
    if (queue.waiting > 0 && !queue.stopped) this.#ready.add(queue);
  }
  /** The command ends when this has come to the host, in one transfer with that of others which end now. */
  completeWith(outgoing: Outgoing): void {
    this.#data.send(outgoing);
    this.#later();
  }
  /** What the host has for a command; nothing comes for one that is not live any more. */
  receive(command: Command, pieces: readonly DmaPiece[], then: DataReceived): void {
    this.#data.receive({ command, pieces, then }, this.#budget.left);
    this.#later();
  }
  /** Work of this turn that the bus does not see. */
  spend(work: number): void {
    this.#budget.spend(work);
  }
  /** The answer to a command that is not live: one that was held. */
  answer(command: Command, status: number): void {
    const queue = this.submissions.get(command.sqId);
    if (queue) this.#answer(queue, command, status);
  }
  /** It is not under way any more, and will be answered some time. */
  hold(command: Command): void {
    this.submissions.get(command.sqId)?.live.delete(command);
  }

  #answer(queue: SubmissionQueue, command: Command, status: number): void {
    queue.completions.waiting.push({
      result: command.result,
      sqHead: queue.head,
      sqId: command.sqId,
      commandId: command.id,
      field: statusField(status),
    });
    this.#toPost.add(queue.completions);
    this.#later();
  }
  #later(): void {
    if (!this.#isStepping && this.#more.leftNs === undefined) this.#more.restart(0);
  }
  #stepOrLater(): void {
    if (this.#isStepping) return;
    this.#budget.ring();
    this.#step();
  }
  #step(): void {
    const budget = this.#budget;
    this.#isStepping = true;
    this.#executeSome();
    let left = STEP;
    for (const queue of this.#ready) {
      if (left === 0 || budget.left === 0) break;
      this.#ready.delete(queue);
      left -= this.#fetch(queue, left);
    }
    while (budget.left > 0 && this.#data.goOn(budget.left));
    this.#post();
    this.#isStepping = false;
    const isIdle = this.#ready.size + this.#toExecute.length === 0 && !this.#endsSome;
    if (isIdle) this.#more.cancel();
    else this.#more.restart(0);
  }
  #fetch(queue: SubmissionQueue, most: number): number {
    const fetched = queue.fetch(this.#port.dma, most);
    // What was read may have been this controller's registers.
    if (this.submissions.get(queue.place.id) !== queue) return 0;
    for (const bytes of fetched) {
      const command = new Command(queue.place.id, bytes);
      queue.live.add(command);
      this.#toExecute.push(command);
    }
    this.#executeSome();
    if (queue.stopped) this.#events.queueFailed(queue.place.id);
    else this.#fetched(queue);
    return fetched.length;
  }
  #executeSome(): void {
    const list = this.#toExecute;
    let count = 0;
    while (count < list.length && this.#budget.left > 0) {
      const command = list[count++]!;
      if (this.isLive(command)) this.#events.execute(command);
    }
    list.splice(0, count);
  }
  /** The next entry the host fills is to be rung for, unless it has been filled already. */
  #fetched(queue: SubmissionQueue): void {
    const { id } = queue.place;
    if (this.#shadow && queue.waiting === 0) {
      this.#shadow.tailEvent(id, queue.tail);
      this.#followTail(queue);
    }
    if (queue.waiting > 0 && queue.room > 0) this.#ready.add(queue);
    if (this.#shadow && this.#look.leftNs === undefined) this.#look.restart(LOOK_NS);
  }
  /** Hosts need not ring while something is under way. */
  #lookAtMemory(): void {
    for (const queue of this.submissions.values()) {
      if (this.#followTail(queue)) this.kick(queue);
    }
    for (const queue of this.completions.values()) {
      if (queue.waiting.length > 0 && this.#followHead(queue)) this.#moveHead(queue, queue.head);
    }
    const isBusy =
      [...this.submissions.values()].some(({ live }) => live.size > 0) ||
      [...this.completions.values()].some(({ waiting }) => waiting.length > 0);
    if (isBusy && this.#shadow) this.#look.restart(LOOK_NS);
  }
  #followHead(queue: CompletionQueue): boolean {
    const { id, entries } = queue.place;
    const before = queue.head;
    if (id > 0) queue.head = this.#shadow?.head(id, entries) ?? before;
    return queue.head !== before;
  }
  #post(): void {
    for (const queue of this.#toPost) {
      this.#toPost.delete(queue);
      if (this.#shadow) {
        this.#shadow.headEvent(queue.place.id, queue.head);
        this.#followHead(queue);
      }
      const posted = queue.post(this.#port.dma);
      if (isErrno(posted)) this.#events.queueFailed(queue.place.id);
      else if (posted) {
        if (queue.vector !== undefined) this.#port.irq.message(queue.vector);
        this.#readyUsers(queue);
      }
    }
  }

  /** A copy. */
  state(): QueueEngineState {
    return {
      ...queueState(this),
      ready: [...this.#ready].map(({ place }) => place.id),
      toPost: [...this.#toPost].map(({ place }) => place.id),
      moreLeftNs: this.#more.leftNs,
      shadow: this.#shadow?.places,
      lookLeftNs: this.#look.leftNs,
    };
  }
  /** What was under way begins again, in a turn of its own. */
  restore(state: QueueEngineState): void {
    this.clear();
    restoreQueues(this, state);
    for (const id of state.ready) this.#ready.add(this.submissions.get(id)!);
    for (const id of state.toPost) this.#toPost.add(this.completions.get(id)!);
    this.#more.restart(state.moreLeftNs);
    this.#look.restart(state.lookLeftNs);
    if (state.shadow) this.#shadow = new ShadowDoorbells(this.#port.dma, state.shadow);
    const isAnyLive = [...this.submissions.values()].some(({ live }) => live.size > 0);
    if (isAnyLive) this.#again.restart(0);
  }
  #executeAgain(): void {
    this.#toExecute = [...this.submissions.values()].flatMap((queue) => [...queue.live]);
    this.#executeSome();
    if (this.#toExecute.length > 0) this.#later();
  }
}
