/** An NVMe controller: its registers, and its life from enabling to shutdown (devices.md 4.5). */
import type { Doorbells } from '../../base/file.ts';
import { Delay } from '../unit/delay.ts';
import { RegisterFile, type RegisterState } from '../unit/registers.ts';
import type { DeviceModel, DevicePort } from '../port.ts';
import { ADMIN_COMMANDS } from './admin-commands.ts';
import { Command } from './command.ts';
import type { Context, NvmeConfig } from './context.ts';
import { QueueEngine, type QueueEngineState } from './engine.ts';
import { AsyncEvents, EVENT, type EventKind, type EventState } from './events.ts';
import { FEATURE, FeatureValues, type FeatureState } from './feature-values.ts';
import { Health, type HealthState } from './health.ts';
import { IO_COMMANDS } from './io-commands.ts';
import type { Namespace, NamespaceState } from './namespace.ts';
import {
  CC_EN,
  configurationOf,
  CSTS_CFS,
  CSTS_NSSRO,
  CSTS_RDY,
  CSTS_SHST,
  CSTS_SHST_COMPLETE,
  CSTS_SHST_OCCURRING,
  DOORBELLS,
  isSupported,
  MOST_QUEUES,
  NSSR_RESET,
  NVME_REGISTERS,
} from './registers.ts';
import { STATUS } from './status.ts';

/** What a controller is at one moment. */
export interface NvmeState {
  readonly registers: RegisterState;
  readonly engine: QueueEngineState;
  readonly events: EventState;
  readonly features: FeatureState;
  readonly health: HealthState;
  readonly namespaces: readonly NamespaceState[];
}

export class NvmeController implements DeviceModel, Context {
  readonly port: DevicePort;
  readonly config: NvmeConfig;
  readonly namespaces: readonly Namespace[];
  readonly engine: QueueEngine;
  readonly features = new FeatureValues();
  readonly health = new Health();
  readonly events = new AsyncEvents((request) => this.engine.answer(request, STATUS.SUCCESS));
  readonly #registers: RegisterFile<typeof NVME_REGISTERS>;
  /** A shutdown that was under way when the state was made flushes again. */
  readonly #shutdown: Delay;
  /** Commands of the admin queue make and delete the others. */
  readonly #doorbells: Doorbells = {
    start: DOORBELLS,
    count: 2 * (MOST_QUEUES + 1),
    value: (index) => this.engine.rung(index),
    isControl: (index) => index < 2,
  };
  /** Completions of an earlier life mean nothing. */
  #life = 0;

  constructor(port: DevicePort, config: NvmeConfig, namespaces: readonly Namespace[]) {
    this.port = port;
    this.config = config;
    this.namespaces = namespaces;
    this.engine = new QueueEngine(port, {
      execute: (command) => this.#execute(command),
      failed: (command, status) => this.health.failed(command, status),
      queueFailed: (id) => this.#queueFailed(id),
      badDoorbell: (kind) =>
        this.#happen(kind === 'value' ? EVENT.BAD_DOORBELL_VALUE : EVENT.BAD_DOORBELL),
    });
    this.#shutdown = new Delay(port.clock, () => this.#flushAll());
    this.#registers = new RegisterFile(
      NVME_REGISTERS,
      {
        intmc: (value) => this.#registers.set('intms', this.#registers.get('intms') & ~value),
        cc: (value) => this.#configure(Number(value)),
        nssr: (value) => this.#resetSubsystem(Number(value)),
        sqTail: (value, id) => this.#ring(id, 'tail', Number(value)),
        cqHead: (value, id) => this.#ring(id, 'head', Number(value)),
      },
      { widths: 'bytes', absent: 'zeros', shadow: port.barMemory(0) },
    );
  }

  get pageSize(): number {
    return 4096 << configurationOf(this.#cc).mps;
  }
  get #cc(): number {
    return Number(this.#registers.get('cc'));
  }
  get #csts(): number {
    return Number(this.#registers.get('csts'));
  }
  set #csts(value: number) {
    this.#registers.set('csts', BigInt(value));
  }

  powerOn(): void {
    this.#life++;
    this.#shutdown.cancel();
    this.engine.clear();
    this.events.clear();
    this.features.reset();
    this.health.reset();
    this.#registers.reset();
  }
  reset(): void {
    this.powerOn();
  }
  mmioRead(_bar: number, offset: number, width: number): bigint {
    return this.#registers.load(offset, width);
  }
  mmioWrite(_bar: number, offset: number, width: number, value: bigint): void {
    this.#registers.store(offset, width, value);
  }
  doorbells(bar: number): Doorbells | undefined {
    return bar === 0 ? this.#doorbells : undefined;
  }
  registerName(_bar: number, offset: number): string | undefined {
    return this.#registers.nameAt(offset);
  }

  #configure(value: number): void {
    const before = this.#cc;
    this.#registers.set('cc', BigInt(value));
    if ((before & CC_EN) !== 0 && (value & CC_EN) === 0) this.#disable();
    else if ((before & CC_EN) === 0 && (value & CC_EN) !== 0) this.#enable();
    const { shutdown } = configurationOf(value);
    if (shutdown === configurationOf(before).shutdown) return;
    if (shutdown === 0) this.#csts &= ~CSTS_SHST;
    else this.#shutDown();
  }
  #enable(): void {
    const aqa = Number(this.#registers.get('aqa'));
    const low = ~0xfffn;
    const asq = this.#registers.get('asq') & low;
    const acq = this.#registers.get('acq') & low;
    const completions = this.engine.addCompletionQueue(
      { id: 0, base: acq, entries: ((aqa >>> 16) & 0xfff) + 1 },
      0,
    );
    this.engine.addSubmissionQueue({ id: 0, base: asq, entries: (aqa & 0xfff) + 1 }, completions);
    this.#csts = (this.#csts & CSTS_NSSRO) | CSTS_RDY;
  }
  /** Queues, events and what is under way are gone; the admin registers keep their values. */
  #disable(): void {
    this.#life++;
    this.#shutdown.cancel();
    this.engine.clear();
    this.events.clear();
    this.features.reset();
    this.#csts &= CSTS_NSSRO;
  }
  #shutDown(): void {
    this.#csts = (this.#csts & ~CSTS_SHST) | CSTS_SHST_OCCURRING;
    this.#flushAll();
  }
  /** Shut down when everything is durable. */
  #flushAll(): void {
    const life = this.#life;
    let left = this.namespaces.length;
    for (const { backing } of this.namespaces) {
      backing.flush(() => {
        left--;
        if (left > 0 || life !== this.#life) return;
        if ((this.#csts & CSTS_SHST) !== CSTS_SHST_OCCURRING) return;
        this.#csts = (this.#csts & ~CSTS_SHST) | CSTS_SHST_COMPLETE;
      });
    }
  }
  #resetSubsystem(value: number): void {
    if (value !== NSSR_RESET) return;
    this.#disable();
    this.#registers.reset();
    this.#csts = CSTS_NSSRO;
  }
  #fail(): void {
    this.#csts |= CSTS_CFS;
  }

  /** Nothing is listened to while the controller is not ready, or has failed. */
  #ring(id: number, end: 'tail' | 'head', value: number): void {
    if ((this.#csts & (CSTS_RDY | CSTS_CFS)) !== CSTS_RDY) return;
    if (!isSupported(configurationOf(this.#cc))) this.#fail();
    else if (end === 'tail') this.engine.ringTail(id, value);
    else this.engine.ringHead(id, value);
  }
  #execute(command: Command): void {
    const status = this.#run(command);
    if (status === undefined) return;
    this.engine.complete(command, status);
  }
  #run(command: Command): number | undefined {
    const isAdmin = command.sqId === 0;
    const handler = (isAdmin ? ADMIN_COMMANDS : IO_COMMANDS).get(command.opcode);
    if (!handler) return STATUS.INVALID_OPCODE;
    const { fuse, psdt } = command;
    if (fuse !== 0 || psdt === 3) return STATUS.INVALID_FIELD;
    if (psdt !== 0 && (isAdmin || !this.config.sgl)) return STATUS.INVALID_FIELD;
    return handler(this, command);
  }
  #queueFailed(id: number): void {
    if (id === 0) this.#fail();
    else this.#happen(EVENT.TRANSIENT_ERROR);
  }
  #happen(kind: EventKind): void {
    this.events.happen(kind, this.features.get(FEATURE.EVENTS));
  }

  state(): NvmeState {
    return {
      registers: this.#registers.state(),
      engine: this.engine.state(),
      events: this.events.state(),
      features: this.features.state(),
      health: this.health.state(),
      namespaces: this.namespaces.map((namespace) => namespace.state()),
    };
  }
  restore(state: NvmeState): void {
    this.#life++;
    this.#registers.restore(state.registers);
    this.engine.restore(state.engine);
    this.events.restore(state.events, (bytes) => new Command(0, bytes.slice()));
    this.features.restore(state.features);
    this.health.restore(state.health);
    for (const [n, namespace] of this.namespaces.entries()) {
      namespace.restore(state.namespaces[n]!);
    }
    const isShuttingDown = (this.#csts & CSTS_SHST) === CSTS_SHST_OCCURRING;
    this.#shutdown.restart(isShuttingDown ? 0 : undefined);
  }
}
