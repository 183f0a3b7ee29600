/**
 * A device without an IOMMU, bound to iommufd, as "iommufd: Allow binding to a noiommu device" (Jacob Pan, May 2026;
 * docs/linux/core.md 12.2) lets one: nothing translates, addresses on the bus are physical.
 *
 * The program maps memory into an IOAS, which pins it, asks for its physical address with IOMMU_IOAS_NOIOMMU_GET_PA, and
 * gives that to the device. Run: npx tsx examples/noiommu.ts
 */
import assert from 'node:assert/strict';
import { Machine, SoftIommuError, type Program } from 'softiommu';
import * as uapi from 'softiommu/uapi';
import { runIfMain, type Print } from './run.ts';

const EDU = '0000:00:04.0';
const IOVA = 0x10_0000n;

export function main(print: Print): void {
  const machine = new Machine('preset:noiommu');
  print(machine.topology());
  const user = machine.program({ uid: 1000 });
  try {
    user.open('/dev/vfio/devices/noiommu-vfio0');
  } catch (error) {
    if (!(error instanceof SoftIommuError)) throw error;
    assert.equal(error.code, 'EACCES');
    print(`an ordinary user: ${error.code}, ${error.reason}`);
  }

  const root = machine.program();
  const fd = root.open('/dev/vfio/devices/noiommu-vfio0');
  const ctx = root.open('/dev/iommu');
  bindAndAttach(root, fd, ctx);
  const memory = root.alloc(4096);
  const pa = mapAndFind(root, ctx, memory.address);
  print(`iova 0x${IOVA.toString(16)} is only a name; the page is at 0x${pa.toString(16)}`);

  const device = machine.device(EDU);
  device.busMaster = true;
  device.dmaWrite(pa, new TextEncoder().encode('physical'));
  const text = new TextDecoder().decode(memory.bytes.subarray(0, 8));
  print(`the device wrote '${text}'`);
  assert.equal(text, 'physical');
  machine.close();
}

function bindAndAttach(p: Program, fd: number, ctx: number): void {
  const bind = uapi.vfio_device_bind_iommufd.view(new Uint8Array(24));
  bind.argsz = 24;
  bind.iommufd = ctx;
  p.ioctl(fd, uapi.VFIO_DEVICE_BIND_IOMMUFD, bind);
  const ioas = uapi.iommu_ioas_alloc.view(new Uint8Array(12));
  ioas.size = 12;
  p.ioctl(ctx, uapi.IOMMU_IOAS_ALLOC, ioas);
  const attach = uapi.vfio_device_attach_iommufd_pt.view(new Uint8Array(16));
  attach.argsz = 16;
  attach.pt_id = ioas.out_ioas_id;
  p.ioctl(fd, uapi.VFIO_DEVICE_ATTACH_IOMMUFD_PT, attach);
  ioasOf.set(p, ioas.out_ioas_id);
}

const ioasOf = new Map<Program, number>();

function mapAndFind(p: Program, ctx: number, va: bigint): bigint {
  const map = uapi.iommu_ioas_map.view(new Uint8Array(40));
  map.size = 40;
  map.flags = 0x7; // at this IOVA, writable, readable
  map.ioas_id = ioasOf.get(p)!;
  map.user_va = va;
  map.length = 4096n;
  map.iova = IOVA;
  p.ioctl(ctx, uapi.IOMMU_IOAS_MAP, map);
  const layout = uapi.iommu_ioas_noiommu_get_pa;
  const get = layout.view(new Uint8Array(layout.size));
  get.size = layout.size;
  get.ioas_id = ioasOf.get(p)!;
  get.iova = IOVA;
  get.length = 4096n;
  p.ioctl(ctx, uapi.IOMMU_IOAS_NOIOMMU_GET_PA, get);
  return get.out_phys;
}

runIfMain(import.meta.url, main);
