/** A device whose state can be taken elsewhere, as its hardware offers it to the driver (vfio.md 2.10). */
import type { Status } from '../../base/errno.ts';
import type { MigrationSupport } from './states.ts';

/** What the device does: everything; everything but DMA to registers of other devices; nothing at all. */
export type DeviceActivity = 'running' | 'no-peers' | 'stopped';

/**
 * The hardware's side of a migration. A stream of it is the head, then one image or several, of which the last is the
 * state: those before it were taken while the device ran.
 */
export interface MigratableDevice extends MigrationSupport {
  /** First bytes of every stream of such a device. */
  readonly head: Uint8Array;
  /** Images are worth sending while it runs; else the head alone is. */
  readonly sendsImagesEarly: boolean;
  setActivity(activity: DeviceActivity): void;
  /** Its state now, as bytes. */
  image(): Uint8Array;
  /**
   * Be as these images say, stopped still. EINVAL: they are no images of such a device, and nothing has changed; EIO: the
   * state could not be taken over, and what the device is now is not known.
   */
  load(images: Uint8Array): Status<'EINVAL' | 'EIO'>;
  /** Hear of every reset of the hardware, after which it runs; undefined stops it. */
  onReset(run: (() => void) | undefined): void;
  /** Hear of every piece of memory that it writes, by the address on the bus, without a PASID; undefined stops it. */
  watchWrites(run: ((iova: bigint, length: number) => void) | undefined): void;
}
