/**
 * The state of a device model as bytes for a migration stream: a head that says of what device it is, and images, each
 * with its length and its checksum (vfio.md 2.10).
 */
import { EINVAL, isErrno, type Result } from '../../base/errno.ts';
import { decodePlain, encodePlain } from '../../base/plain-values.ts';
import { refuse } from '../../base/refuse.ts';
import type { DeviceOptions, DeviceState } from '../../devices/port.ts';
import { crc32 } from '../../devices/unit/checksums.ts';

const FORMAT = 'softiommu device state 1';
/** Length and checksum, 32 bits each. */
const PREFIX = 8;

/** A device of the same type, with the same options, takes the stream. */
export function streamHead(type: string, options: DeviceOptions): Uint8Array {
  const sorted = Object.entries(options).sort(([a], [b]) => (a < b ? -1 : 1));
  const text = `${FORMAT}\n${type} ${JSON.stringify(Object.fromEntries(sorted))}\n`;
  return new TextEncoder().encode(text);
}

export function imageOf(state: DeviceState): Uint8Array {
  const body = encodePlain(state);
  const out = new Uint8Array(PREFIX + body.length);
  const view = new DataView(out.buffer);
  view.setUint32(0, body.length, true);
  view.setUint32(4, crc32(body), true);
  out.set(body, PREFIX);
  return out;
}

/** The last of the images. EINVAL: one is cut off or was changed, or there is none. */
export function stateOf(images: Uint8Array): Result<{ readonly state: DeviceState }, 'EINVAL'> {
  const view = new DataView(images.buffer, images.byteOffset, images.length);
  let last: Uint8Array | undefined;
  for (let at = 0; at < images.length;) {
    const end = at + PREFIX <= images.length ? at + PREFIX + view.getUint32(at, true) : Infinity;
    if (end > images.length) return refuse(EINVAL, 'an image of the device is cut off', { at });
    last = images.subarray(at + PREFIX, end);
    if (crc32(last) !== view.getUint32(at + 4, true)) {
      return refuse(EINVAL, 'an image of the device was changed on its way', { at });
    }
    at = end;
  }
  if (!last) return refuse(EINVAL, 'the stream holds no image of the device');
  const decoded = decodePlain(last);
  if (isErrno(decoded)) return decoded;
  const { value } = decoded;
  if (typeof value === 'object' && value !== null) return { state: value };
  return refuse(EINVAL, 'the state of a device is an object');
}
