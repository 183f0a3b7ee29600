/** A VFIO program that migrates devices: states, streams, and the log of their DMA. */
import { isErrno, type Errno, type Result } from '../../base/errno.ts';
import type { Fields, Struct, View } from '../../base/struct.ts';
import * as v from '../../uapi/vfio.ts';
import { must } from '../base/must.ts';
import { Client } from './client.ts';

const { VFIO_DEVICE_FEATURE_GET: GET, VFIO_DEVICE_FEATURE_SET: SET } = v;

export class MigrationClient extends Client {
  /** A feature with its data as fields; the view is of what was written back. */
  feature<F extends Fields>(
    d: number,
    flags: number,
    type: Struct<F>,
    values: Partial<Record<keyof F, number | bigint>> = {},
    argsz = v.vfio_device_feature.size + type.size,
  ): { rc: Result<number>; out: View<F> } {
    const raw = new Uint8Array(type.size);
    Object.assign(type.view(raw), values);
    const { rc, all } = this.call(
      d,
      v.VFIO_DEVICE_FEATURE,
      v.vfio_device_feature,
      { flags, argsz },
      raw,
    );
    const { size } = v.vfio_device_feature;
    return { rc, out: type.view(all.slice(size, size + type.size)) };
  }
  /** A feature without data. */
  plainFeature(d: number, flags: number): Result<number> {
    return this.call(d, v.VFIO_DEVICE_FEATURE, v.vfio_device_feature, { flags, argsz: 8 }).rc;
  }
  state(d: number): number {
    const type = v.vfio_device_feature_mig_state;
    const { rc, out } = this.feature(d, GET | v.VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE, type);
    must(rc);
    return out.device_state;
  }
  /** The data fd, or -1. */
  setState(d: number, device_state: number): Result<number> {
    const type = v.vfio_device_feature_mig_state;
    const index = SET | v.VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE;
    const { rc, out } = this.feature(d, index, type, { device_state, data_fd: 77 });
    return isErrno(rc) ? rc : out.data_fd | 0;
  }
  /** What a data fd gives until it says no more, and what it says then: 0 at the end. */
  drain(fd: number, piece = 4096): { bytes: Uint8Array; end: number | Errno } {
    const bytes: number[] = [];
    for (;;) {
      const into = new Uint8Array(piece);
      const n = this.program.read(fd, into);
      if (isErrno(n) || n === 0) return { bytes: Uint8Array.from(bytes), end: n };
      bytes.push(...into.subarray(0, n));
    }
  }
  /** All of it, in pieces. */
  feed(fd: number, bytes: Uint8Array, piece = 1000): Result<number> {
    let at = 0;
    while (at < bytes.length) {
      const n = this.program.write(fd, bytes.subarray(at, at + piece));
      if (isErrno(n)) return n;
      at += n;
    }
    return at;
  }
}
