/**
 * The single wait loop: trapped calls, closes, eventfds, the ends of processes, the clock.
 *
 * One turn answers everything that is ready. Nothing here ever waits but the poll at the top.
 */
import { Bug } from '../../base/bug.ts';
import type { Result } from '../../base/errno.ts';
import type { OpenFile } from '../../base/file.ts';
import type { Outcome } from '../../base/wait-queue.ts';
import type { Machine } from '../../machine/machine.ts';
import type { CallContext } from '../calls/call-context.ts';
import type { DescriptorLink } from '../sys/look.ts';
import { showsFile, showsPath } from '../tree/own-mount.ts';
import { DoorbellLoans } from '../process/doorbell-loans.ts';
import { Capabilities } from '../process/capabilities.ts';
import { Eventfds } from '../process/eventfds.ts';
import { ExactPins, type CurrentCall, type NewRing } from '../process/exact-pins.ts';
import { FileTraps } from '../calls/file-traps.ts';
import { wholeScript, type Hand, type Handled, type InThread } from '../seccomp/in-thread.ts';
import type { Injection } from '../seccomp/injection.ts';
import { Injections } from '../seccomp/injections.ts';
import * as libc from '../sys/libc.ts';
import { callers } from '../sys/callers.ts';
import { dyingThreads } from '../sys/dying-threads.ts';
import { isKeptByExec, KeptByExec } from '../sys/prompt-seize.ts';
import { strangers } from '../sys/strangers.ts';
import { Notification, type Answer } from '../seccomp/notification.ts';
import { TRAPPED_CALLS } from '../seccomp/trapped.ts';
import type { Others, Ready } from '../seccomp/turn-wait.ts';
import { bindHandlers, FOREIGN_HANDLERS, HANDLERS, type Traps } from '../calls/table.ts';
import { MappingTraps } from '../calls/mapping-traps.ts';
import { writesBack } from '../process/file-systems.ts';
import { LockLimits } from '../process/lock-limits.ts';
import { MemoryMap } from '../process/memory-map.ts';
import type { CallerSites } from '../stacks/host-call-sites.ts';
import type { MmioParts } from '../mmio/mmio-traps.ts';
import { MappedRegisters } from '../process/mapped-registers.ts';
import { HostObjects } from '../process/objects.ts';
import { OpenFiles } from '../process/open-files.ts';
import { ReverseMap } from '../process/reverse-map.ts';
import { PathTraps } from '../calls/path-traps.ts';
import { Processes } from '../process/processes.ts';
import { Views } from '../process/view.ts';
import type { TreeBackend } from '../tree/tree-backend.ts';
import { RunClock } from './run-clock.ts';
import { serveTree } from './serve-tree.ts';
import { saidOnce } from './said-once.ts';
import { Shortages } from './shortages.ts';
import { SlowCalls } from './slow-calls.ts';
import { WatchedFds } from './watched-fds.ts';
import { RunEnd, type RunEndParts } from './run-end.ts';
import { OtherTracers } from './other-tracers.ts';
import type { CallTransport, MmioBackend } from './backends.ts';
import { LateCalls } from './late-calls.ts';
import { ParkedCalls } from './parked-calls.ts';
import type { GroupSignals } from '../launch/group-signals.ts';
import type { TurnSign } from '../launch/watchdog.ts';
import { HOST_ERRNO } from '../sys/numbers.ts';
import { isStopped } from '../sys/ptrace.ts';

/** What a run is made of. */
export interface LoopParts extends RunEndParts {
  readonly machine: Machine;
  /** Made of what the loop waits on besides. */
  readonly transport: (others: Others) => CallTransport;
  /** Made of what the loop has: the processes, their maps and their open files. */
  readonly mmio: (parts: MmioParts) => MmioBackend;
  /** Of a run that is asked where in its program calls are that take pages away. */
  readonly sites: CallerSites | undefined;
  readonly tree: TreeBackend;
  /** Where the main thread sees what the loop is at. */
  readonly sign: TurnSign;
  /** Where the main thread sees which signals programs send to groups. */
  readonly groupSignals: GroupSignals;
  readonly warn: (text: string) => void;
  /** Programs have the capabilities of the simulated machine. */
  readonly capabilities?: boolean;
  /** Every read and write of a program is trapped (FilterOptions.events, .barBuffers). */
  readonly seesEveryRead?: boolean;
  /** What programs may lock, in bytes; undefined: what the host says of each. */
  readonly memlock?: bigint | undefined;
  /** Present with `--pin=exact`. */
  readonly newRing?: NewRing | undefined;
}

/** With sleepers: how often to look whether one of them has died. */
const SLEEPER_CHECK_MS = 20;
/** A ptrace stop interrupts poll; should that be lost, this bounds the delay. */
const TRACE_CHECK_MS = 10;
/**
 * After an access to registers, and what devices do at it, the next one is likely to be near: this long it is looked for
 * without sleeping.
 */
const SPIN_NS = 40_000;
/** Then the other programs have their turn. */
const MOST_STOPS = 16;
/** Of turns with a call and nothing else: orphans that have ended may stay so long. */
const REAP_TURNS = 64;

/** One run: all state of the simulated kernel, and the one wait for everything. */
export class KernelLoop implements CallContext {
  readonly machine: Machine;
  readonly transport: CallTransport;
  readonly files: OpenFiles;
  readonly eventfds: Eventfds;
  readonly map: MemoryMap;
  readonly objects = new HostObjects();
  readonly pins: ExactPins | undefined;
  readonly processes: Processes;
  readonly registers: MappedRegisters;
  readonly tracers: OtherTracers;
  readonly loans: DoorbellLoans;
  /** What the loop waits on besides trapped calls. */
  readonly watches = new WatchedFds();
  readonly warn: (text: string) => void;
  readonly sayOnce: (text: string) => void;
  readonly seesEveryRead: boolean;
  readonly lockLimits: LockLimits | undefined;
  readonly groupSignals: GroupSignals;

  readonly #parts: LoopParts;
  readonly #mmio: MmioBackend;
  readonly #traps: Traps;
  readonly #handlers = bindHandlers(TRAPPED_CALLS, HANDLERS);
  readonly #parked = new ParkedCalls({
    answer: (call, given) => this.#answer(call, given),
    later: (attempt) => this.#later(attempt),
  });
  /** Woken in this turn: tried again when the call that woke them is over. */
  #woken: (() => void)[] = [];
  readonly #retake = (): void => this.tracers.retake();
  readonly #later = (attempt: () => void): void => void this.#woken.push(attempt);
  readonly #shortages = new Shortages((text) => this.sayOnce(text));
  /** Callers that run calls of ours, by thread. */
  readonly #injections = new Injections();
  readonly #late = new LateCalls((call) => this.transport.valid(call));
  readonly #slow = new SlowCalls((tid) => this.processes.processOf(tid));
  readonly #clock: RunClock;
  readonly #end: RunEnd;
  #current: Notification | undefined;
  /** Turns until children are looked for again. */
  #untilReap = 0;
  /** The last look at stopped threads was cut short. */
  #stopsLeft = false;
  /** Until then they are looked for without sleeping. */
  #spinUntilNs = 0;

  constructor(parts: LoopParts) {
    this.#parts = parts;
    this.machine = parts.machine;
    this.groupSignals = parts.groupSignals;
    this.warn = parts.warn;
    this.sayOnce = saidOnce(parts.warn);
    this.#clock = new RunClock(parts.machine, parts.warn);
    this.seesEveryRead = parts.seesEveryRead === true;
    const { capabilities, memlock, launcher, sites } = parts;
    this.lockLimits = memlock === undefined ? undefined : new LockLimits(memlock, launcher.pid);
    this.files = new OpenFiles((entry) => {
      if (entry.kind === 'file') this.#released(entry.file);
    });
    const { inotify } = this.files;
    this.transport = parts.transport({ fd: this.watches.fd, closes: inotify });
    this.eventfds = new Eventfds(this.watches);
    this.loans = new DoorbellLoans({ machine: this.machine, watches: this.watches, sites });
    this.map = new MemoryMap(this.#windowOf, (line) => this.objects.isHuge(line), writesBack);
    this.pins = parts.newRing && new ExactPins(this, parts.newRing);
    this.processes = new Processes(this, capabilities ? new Capabilities(launcher.pid) : undefined);
    this.registers = new MappedRegisters(this);
    this.#mmio = parts.mmio(this);
    this.tracers = new OtherTracers({
      mmio: this.#mmio,
      launcher: parts.launcher.pid,
      answer: (call, handled) => this.#answerWith(call, handled),
      give: (call, hands) => this.#give(call, hands),
      hurry: (tid, gone) => this.#injections.hurry(tid, gone),
    });
    this.#traps = {
      context: this,
      files: new FileTraps(this),
      paths: new PathTraps(this, parts.tree, new Views(parts.pid)),
      mappings: new MappingTraps(this, new ReverseMap(this), parts.sites),
    };
    this.watches.watchFd(inotify, () => undefined);
    this.#end = new RunEnd(parts, this.watches, this.transport.fd);
    if (parts.tree.server) serveTree(this, parts.tree.server, this.#later);
  }

  readonly #windowOf: OpenFiles['windowOf'] = (line) =>
    this.files.windowOf(line) ?? this.loans.windowOf(line);

  isMounted(path: string): boolean {
    return showsPath(this.#parts.tree, this.machine.vfs, path);
  }
  isOfOurMount(file: DescriptorLink): boolean {
    return showsFile(this.#parts.tree, file);
  }

  /** Until the run is over: the program's wait status. HostError: the launcher has been killed. */
  run(): number {
    this.#parts.sign.begin();
    while (!this.#end.isOver) this.#turn();
    this.#parts.sign.end();
    return this.#end.status;
  }

  close(): void {
    this.#parked.cancelAll();
    this.files.closeAll();
    this.loans.close();
    this.eventfds.closeAll();
    this.processes.closeAll();
    this.transport.close();
    this.watches.close();
  }

  park<T>(
    call: Notification,
    run: () => Outcome<Result<T>>,
    answer: (result: Result<T>) => Answer,
    how = { outlivesCaller: false },
  ): Answer {
    let woken = false;
    const attempt = (): Outcome<Result<T>> => {
      if (woken && !this.transport.valid(call)) this.machine.syscalls.diedAsleep(call.tid);
      woken = true;
      return run();
    };
    return this.#parked.park(call, attempt, answer, how);
  }

  /**
   * Told of the program of the run, whoever it was: inotify says that the last copy of a descriptor is gone, not who had
   * it, and only a mark of fanotify(7), a privilege, would. A Bug in it has been reported by the machine's guard.
   */
  #released(file: OpenFile): void {
    const rc = this.machine.syscalls.close(this.#parts.pid, file);
    if (rc) this.warn(`${file.name}: its release failed with ${rc.name}`);
  }

  traceProcess(pid: number, tid: number, how?: { readonly storesFault: boolean }): boolean {
    const call = this.#current;
    if (call?.tid !== tid) return this.#mmio.trace(pid, tid, how);
    return this.#mmio.trace(pid, tid, { ...how, isCaller: () => this.transport.valid(call) });
  }
  changeFault(call: Notification): Handled {
    return this.#mmio.changeFault(call, (handled) => this.#answerWith(call, handled));
  }

  makesOurCalls(tid: number): boolean {
    return this.#injections.has(tid);
  }
  inject(call: Notification, hands: readonly Hand[] = []): Injection | number {
    const how = {
      alreadySeized: this.#mmio.isTraced(call.tid),
      isWaiting: () => this.transport.valid(call),
      release: () => {
        this.#give(call, hands);
        this.transport.answer(call, 0);
      },
      pass: (status: number) => this.#onStatus({ pid: call.tid, status }),
      ...{ filtered: this.warn, short: this.#shortages.answerTo },
    };
    const thread = this.#injections.of(call) ?? this.#injections.begin(call, how);
    if (this.tracers.attachments.isLeaving(call.tid)) this.#injections.hurry(call.tid);
    return thread;
  }
  #give(call: Notification, hands: readonly Hand[]): void {
    for (const hand of hands) hand.give(this.transport, call);
  }
  #answerWith(call: Notification, handled: Handled): void {
    this.#answer(call, typeof handled === 'object' ? this.#inThread(call, handled) : handled);
  }
  #inThread(call: Notification, todo: InThread): Answer {
    const later = this.tracers.attachments.postpone(call, todo);
    if (later) return later;
    const thread = this.inject(call, todo.hands);
    if (typeof thread === 'number') {
      if (isKeptByExec(thread)) return this.#late.again(call, () => this.#answerWith(call, todo));
      if (this.transport.valid(call)) {
        return this.tracers.byTracer(call, todo) ?? todo.otherwise(thread);
      }
      todo.gone?.();
      return 'answered';
    }
    thread.follow(wholeScript(todo, call.tid));
    this.#injections.settled(call.tid, thread);
    return 'answered';
  }
  /** A thread that was made to run calls of ours gets its result in its register. */
  #answer(call: Notification, given: Answer): void {
    if (given === 'answered') return;
    const instead = this.#slow.instead(call, given);
    if (instead) {
      this.#answerWith(call, instead);
      return;
    }
    const answer = given === -HOST_ERRNO.EFAULT ? this.processes.faultOf(call.tid) : given;
    const open = this.#injections.of(call);
    if (!open) {
      this.transport.answerSoon(call, answer);
      return;
    }
    if (answer === 'continue') throw new Bug('a call cannot go on that has been answered');
    open.finish(answer);
    this.#injections.settled(call.tid, open);
  }

  #turn(): void {
    if (this.#shortages.any) this.#shortages.retry();
    this.#late.retry();
    this.#shortages.ifEnough(this.#retake);
    if (this.#hasStops || this.#stopsLeft || this.#untilReap-- <= 0) this.#reap();
    this.#runWoken();
    this.#parts.sign.end();
    const found = this.transport.wait(this.#timeoutMs());
    this.#parts.sign.begin();
    this.map.newTurn();
    this.#advanceClock();
    if (found instanceof Notification) this.#serveAlone(found);
    else this.#dispatch(found);
    this.#runWoken();
    if (this.#hasSleepers) this.#shortages.ifEnough(() => this.#checkSleepers());
  }
  /** Threads are traced, and wait4 tells what became of them. Else it only takes the ends of orphans. */
  get #hasStops(): boolean {
    if (this.#mmio.active || this.#injections.size > 0) return true;
    return dyingThreads.any || strangers.any;
  }

  #runWoken(): void {
    while (this.#woken.length > 0) {
      const attempts = this.#woken;
      this.#woken = [];
      this.transport.flush();
      this.#parts.sign.about(0);
      for (const attempt of attempts) this.#shortages.untilEnough(attempt);
    }
  }

  #dispatch({ call, others }: Ready): void {
    this.#untilReap = 0;
    if (others) this.watches.dispatch((run) => this.#shortages.ifEnough(run));
    const received = call ? this.transport.receive() : undefined;
    // A close that came before this call in the program must be seen before it here.
    if (received || !call) this.#shortages.ifEnough(() => this.files.drainCloses());
    if (received) this.#serve(received);
  }
  /** A call that no close has come before. */
  #serveAlone(call: Notification): void {
    if (this.files.mustAsk) this.#shortages.ifEnough(() => this.files.drainCloses());
    this.#serve(call);
  }

  #serve(call: Notification): void {
    this.#parts.sign.about(call.tid, call.nr);
    this.processes.newCall();
    this.#traps.mappings.returned(call.tid);
    this.loans.look();
    this.#current = call;
    const handled = this.#handle(call);
    this.#current = undefined;
    this.processes.callEnds();
    if (handled !== 'continue') this.loans.end();
    this.#answerWith(call, handled);
  }
  /** The call that is being answered, whose thread can make calls for us. */
  current(): CurrentCall | undefined {
    const call = this.#current;
    if (!call) return undefined;
    const { tid } = call;
    return { call, space: this.processes.space({ tid, pid: this.processes.processOf(tid) }) };
  }

  #handle(call: Notification): Handled {
    try {
      const handler = (call.isForeign ? FOREIGN_HANDLERS : this.#handlers).get(call.nr);
      if (!handler) throw new Bug('the filter traps a call that is in no row');
      return handler(this.#traps, call);
    } catch (error) {
      if (error instanceof KeptByExec) return this.#late.again(call, () => this.#serve(call));
      const short = this.#shortages.answer(error);
      if (short !== undefined) return short;
      const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
      this.warn(`bug in the host layer while answering system call ${call.nr}: ${text}`);
      return -HOST_ERRNO.EIO;
    }
  }

  #reap(): void {
    this.#untilReap = REAP_TURNS;
    this.#stopsLeft = true;
    this.#lookForStops();
    this.#mmio.endLook();
  }
  #lookForStops(): void {
    for (let stops = 0; stops < MOST_STOPS;) {
      const event = this.#mmio.look();
      if (!event) {
        const now = libc.monotonicNs();
        this.#stopsLeft = now < this.#spinUntilNs;
        // What an access has set going in a device is what its program waits for.
        if (!this.#stopsLeft || this.#clock.isDue(now)) return;
        continue;
      }
      if (!this.#onStatus(event)) continue;
      this.#spinUntilNs = libc.monotonicNs() + SPIN_NS;
      stops++;
    }
  }
  /** Something of a program's thread, as wait4 tells it. False: its end. */
  #onStatus({ pid, status }: { pid: number; status: number }): boolean {
    this.#parts.sign.about(pid);
    this.transport.flush();
    if (strangers.onStatus(pid, status) || this.#injections.onStatus(pid, status)) return true;
    if (isStopped(status)) {
      callers.hasStopped(pid);
      this.map.newTurn();
      this.#shortages.untilEnough(() => this.#mmio.onStop(pid, status));
      return true;
    }
    dyingThreads.ended(pid);
    this.#mmio.onExit(pid);
    return false;
  }

  /**
   * Callers that have died. No signal ends a sleep here: an unbind or a removal waits until the device is closed, also when
   * nobody is there to be told; a handler runs after it.
   */
  #checkSleepers(): void {
    const isThere = (call: Notification): boolean =>
      this.#injections.of(call) !== undefined || this.transport.valid(call);
    this.#parked.dropUnless(isThere, (call) => this.machine.syscalls.giveUp(call.tid));
    this.#parts.tree.server?.endDying();
    this.#injections.sweep();
    dyingThreads.sweep();
  }
  get #hasSleepers(): boolean {
    const { server } = this.#parts.tree;
    const waiting = this.#parked.size + this.#injections.size + dyingThreads.known.size;
    return waiting > 0 || server?.hasSignalled === true;
  }

  #advanceClock(): void {
    const hasRun = this.#clock.advance();
    if (hasRun && this.#stopsLeft) this.#spinUntilNs = libc.monotonicNs() + SPIN_NS;
  }

  #timeoutMs(): number {
    if (this.#stopsLeft) return 0;
    let bound = Infinity;
    if (this.#hasStops) bound = TRACE_CHECK_MS;
    else if (this.#hasSleepers || this.#shortages.any) bound = SLEEPER_CHECK_MS;
    const wait = Math.min(bound, this.#clock.leftMs, this.#late.leftMs);
    return wait === Infinity ? -1 : wait;
  }
}
