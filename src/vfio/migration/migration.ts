/**
 * The migration of one device: the state it is in, and the stream that goes with it (vfio.md 2.10).
 *
 * A change goes arc by arc and stops where one fails; the user asks where it is. The end of the device's use, and every
 * reset, bring it back to RUNNING and end its stream.
 */
import { isErrno, type Result, type Status } from '../../base/errno.ts';
import type { OpenFile } from '../../base/file.ts';
import {
  VFIO_DEVICE_STATE_ERROR,
  VFIO_DEVICE_STATE_PRE_COPY,
  VFIO_DEVICE_STATE_PRE_COPY_P2P,
  VFIO_DEVICE_STATE_RESUMING,
  VFIO_DEVICE_STATE_RUNNING,
  VFIO_DEVICE_STATE_RUNNING_P2P,
  VFIO_DEVICE_STATE_STOP,
  VFIO_DEVICE_STATE_STOP_COPY,
} from '../../uapi/vfio.ts';
import { DmaLog } from './dma-log.ts';
import type { DeviceActivity, MigratableDevice } from './migratable.ts';
import { isSaving, pathBetween, STATE_NAMES } from './states.ts';
import {
  resumingFile,
  ResumingStream,
  savingFile,
  SavingStream,
  type SavingSource,
} from './stream.ts';

const ACTIVITY: Readonly<Record<number, DeviceActivity>> = {
  [VFIO_DEVICE_STATE_RUNNING]: 'running',
  [VFIO_DEVICE_STATE_PRE_COPY]: 'running',
  [VFIO_DEVICE_STATE_RUNNING_P2P]: 'no-peers',
  [VFIO_DEVICE_STATE_PRE_COPY_P2P]: 'no-peers',
  [VFIO_DEVICE_STATE_STOP]: 'stopped',
  [VFIO_DEVICE_STATE_STOP_COPY]: 'stopped',
  [VFIO_DEVICE_STATE_RESUMING]: 'stopped',
};

/** @kernel vfio_migration_ops */
export class Migration {
  readonly device: MigratableDevice;
  readonly log: DmaLog;
  /** DEVICE_FEATURE 12 was set since the first open. */
  tellsFlags = false;
  #state = VFIO_DEVICE_STATE_RUNNING;
  #saving: SavingStream | undefined;
  #resuming: ResumingStream | undefined;

  constructor(device: MigratableDevice) {
    this.device = device;
    this.log = new DmaLog((run) => device.watchWrites(run));
  }
  get state(): number {
    return this.#state;
  }
  /** 'STOP_COPY' */
  get stateName(): string {
    return STATE_NAMES[this.#state]!;
  }
  /** Bytes that a stream of the device would be, if it stopped now. */
  get dataSize(): number {
    return this.device.head.length + this.device.image().length;
  }
  /** First open of the device. */
  open(): void {
    this.device.onReset(() => this.#toRunning());
  }
  /** Last close. */
  close(): void {
    this.device.onReset(undefined);
    this.log.stop();
    this.tellsFlags = false;
    this.device.setActivity('running');
    this.#toRunning();
  }

  /** A reset that is no hardware's. */
  reset(): void {
    this.device.setActivity('running');
    this.#toRunning();
  }
  /** The file of the stream that begins at the end of the way, if one does. Errnos: EINVAL no way; those of a load. */
  setState(wanted: number): Result<OpenFile | undefined, 'EINVAL' | 'EIO'> {
    const path = pathBetween(this.#state, wanted, this.device);
    if (isErrno(path)) return path;
    let file: OpenFile | undefined;
    for (const next of path) {
      const rc = this.#leave(next);
      if (rc) return rc;
      this.device.setActivity(ACTIVITY[next]!);
      file = this.#enter(next);
      this.#state = next;
    }
    return file;
  }

  #leave(next: number): Status<'EINVAL' | 'EIO'> {
    if (isSaving(this.#state) && !isSaving(next)) {
      this.#saving!.end();
      this.#saving = undefined;
    }
    return this.#resuming ? this.#incorporate(this.#resuming) : undefined;
  }
  #incorporate(stream: ResumingStream): Status<'EINVAL' | 'EIO'> {
    const images = stream.images();
    if (isErrno(images)) return images;
    const rc = this.device.load(images);
    // Bytes that say nothing can be followed by others; a device of which nothing is known can only be reset.
    if (rc?.name === 'EINVAL') return rc;
    if (rc) this.#state = VFIO_DEVICE_STATE_ERROR;
    stream.end();
    this.#resuming = undefined;
    return rc;
  }
  #enter(next: number): OpenFile | undefined {
    if (next === VFIO_DEVICE_STATE_RESUMING) {
      this.#resuming = new ResumingStream(this.device.head);
      return resumingFile(this.#resuming);
    }
    if (!isSaving(next)) return undefined;
    const fresh = this.#saving ? undefined : this.#startSaving();
    if (next === VFIO_DEVICE_STATE_STOP_COPY) this.#saving!.finish(this.device.image());
    else if (fresh) fresh.begin();
    return fresh && savingFile(fresh);
  }
  #startSaving(): SavingStream {
    const { device } = this;
    const source: SavingSource = {
      early: () => (device.sendsImagesEarly ? device.image() : undefined),
      tellsFlags: () => this.tellsFlags,
    };
    return (this.#saving = new SavingStream(source, device.head));
  }
  #toRunning(): void {
    this.#saving?.end();
    this.#resuming?.end();
    this.#saving = undefined;
    this.#resuming = undefined;
    this.#state = VFIO_DEVICE_STATE_RUNNING;
  }
}
