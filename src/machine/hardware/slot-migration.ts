/**
 * A device that can be stopped, and whose state can be taken elsewhere: every model can that its type calls migratable
 * (vfio.md 2.10).
 *
 * Stopped, its time stands still, loads of its registers give ones and stores do nothing, and it hears of no change of
 * its configuration space before it goes on; what the function itself answers, its configuration space and its MSI-X
 * table, is as ever. A reset makes it run.
 */
import type { Clock } from '../../base/clock.ts';
import { EIO, isErrno, type Status } from '../../base/errno.ts';
import { refuse } from '../../base/refuse.ts';
import type { DeviceModel, DeviceOptions } from '../../devices/port.ts';
import type { PciRegisters, ResetKind } from '../../pci/identity.ts';
import type { DeviceActivity, MigratableDevice } from '../../vfio/migration/migratable.ts';
import type { MigrationChoice } from '../description/description.ts';
import { DeviceClock } from './device-clock.ts';
import { imageOf, stateOf, streamHead } from './device-images.ts';
import type { DmaPort } from './dma-port.ts';

export class SlotMigration implements MigratableDevice {
  readonly p2p: boolean;
  readonly preCopy: boolean;
  readonly sendsImagesEarly = true;
  readonly head: Uint8Array;
  /** The device's own. */
  readonly clock: DeviceClock;
  readonly #dma: () => DmaPort;
  readonly #setStill: (still: boolean) => void;
  #model: DeviceModel | undefined;
  #registers: PciRegisters | undefined;
  #activity: DeviceActivity = 'running';
  #heardReset: (() => void) | undefined;
  /** Run when the device goes on. */
  readonly #wakes = new Set<() => void>();

  constructor(parts: {
    readonly choice: Exclude<MigrationChoice, 'none'>;
    readonly type: string;
    readonly options: DeviceOptions;
    readonly clock: Clock;
    readonly dma: () => DmaPort;
    /** Told when the device stops and goes on. */
    readonly setStill: (still: boolean) => void;
  }) {
    this.p2p = parts.choice !== 'stop-copy';
    this.preCopy = parts.choice === 'pre-copy';
    this.head = streamHead(parts.type, parts.options);
    this.clock = new DeviceClock(parts.clock);
    this.#dma = parts.dma;
    this.#setStill = parts.setStill;
  }
  /** What is behind the BARs, once the model is there. */
  get registers(): PciRegisters | undefined {
    return this.#registers;
  }
  attach(model: DeviceModel): void {
    this.#model = model;
    this.#registers = this.#wrapped(model);
  }
  get isStopped(): boolean {
    return this.#activity === 'stopped';
  }
  /** Call back whenever it goes on; dispose to stop. */
  whenStarted(run: () => void): Disposable {
    this.#wakes.add(run);
    return { [Symbol.dispose]: () => void this.#wakes.delete(run) };
  }

  setActivity(activity: DeviceActivity): void {
    const goesOn = this.isStopped && activity !== 'stopped';
    this.#activity = activity;
    this.#dma().activity = activity;
    if (activity === 'stopped') this.clock.stop();
    else this.clock.start();
    this.#setStill(activity === 'stopped');
    if (goesOn) for (const run of this.#wakes) run();
  }
  image(): Uint8Array {
    return imageOf(this.#model!.state());
  }
  load(images: Uint8Array): Status<'EINVAL' | 'EIO'> {
    const last = stateOf(images);
    if (isErrno(last)) return last;
    const model = this.#model!;
    model.reset('function');
    // What a stream says comes from anywhere: an exception here is its fault, not ours.
    try {
      model.restore(last.state);
      return undefined;
    } catch (error) {
      model.reset('function');
      const reason = error instanceof Error ? error.message : String(error);
      return refuse(EIO, 'the device could not take the state over', { reason });
    }
  }
  onReset(run: (() => void) | undefined): void {
    this.#heardReset = run;
  }
  watchWrites(run: ((iova: bigint, length: number) => void) | undefined): void {
    this.#dma().heardWrite = run;
  }

  #reset(model: DeviceModel, kind: ResetKind): void {
    // Reset while it stands still, so that nothing of what it had set is done.
    model.reset(kind);
    this.setActivity('running');
    this.#heardReset?.();
  }
  #wrapped(model: DeviceModel): PciRegisters {
    const goes = (): boolean => !this.isStopped;
    return {
      reset: (kind) => this.#reset(model, kind),
      mmioRead: (bar, offset, width) =>
        goes() ? model.mmioRead(bar, offset, width) : (1n << BigInt(8 * width)) - 1n,
      mmioWrite: (bar, offset, width, value) =>
        goes() ? model.mmioWrite(bar, offset, width, value) : undefined,
      registerName: (bar, offset) => model.registerName?.(bar, offset),
      ...(model.mmioWrite64 && {
        mmioWrite64: (bar, offset, bytes) =>
          goes() ? model.mmioWrite64?.(bar, offset, bytes) : undefined,
      }),
    };
  }
}
