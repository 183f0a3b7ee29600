/** Random commands of VFIO: the container's on an iommufd, cdevs that are bound and attached, and DMA of what is bound. */
import fc from 'fast-check';
import { EBADF } from '../../../src/base/errno.ts';
import * as uapi from '../../../src/uapi/vfio.ts';
import { flag, iova, length, one, pasid, va } from './arguments.ts';
import {
  calledBy,
  fileCommand,
  otherCommand,
  plainCommand,
  structCommand,
  type Command,
} from './command.ts';
import { pick, sure, type Caller, type Value } from './picks.ts';
import type { Scene } from './scene.ts';
import { ARG } from '../../../src/testing/iommufd/process.ts';

const CUT = 'the mappings are cut before they are unmapped, and stay cut (6)';
const UNTOLD = 'the ranges are unmapped all the same (6)';
const NOT_HERE = 'dirty tracking is not part of the compatibility (6)';
const nothing = fc.constant(0n);

export const COMPAT_COMMANDS: readonly Command[] = [
  plainCommand('VFIO_GET_API_VERSION', uapi.VFIO_GET_API_VERSION, nothing, {
    weight: 1,
    always: { works: 'the answer is 0' },
  }),
  plainCommand(
    'VFIO_CHECK_EXTENSION',
    uapi.VFIO_CHECK_EXTENSION,
    fc.constantFrom(1n, 3n, 4n, 4n, 8n, 9n),
    { weight: 1 },
  ),
  plainCommand('VFIO_SET_IOMMU', uapi.VFIO_SET_IOMMU, fc.constantFrom(1n, 3n, 3n, 7n)),
  structCommand({
    name: 'VFIO_IOMMU_GET_INFO',
    cmd: uapi.VFIO_IOMMU_GET_INFO,
    layout: uapi.vfio_iommu_type1_info,
    fields: {
      argsz: fc.constantFrom(24, 16, 72, 200, 4),
    },
  }),
  structCommand({
    name: 'VFIO_IOMMU_MAP_DMA',
    cmd: uapi.VFIO_IOMMU_MAP_DMA,
    layout: uapi.vfio_iommu_type1_dma_map,
    fields: { flags: flag(3, 1, 2, 0, 4), vaddr: va, iova, size: length },
    weight: 6,
  }),
  structCommand({
    name: 'VFIO_IOMMU_UNMAP_DMA',
    cmd: uapi.VFIO_IOMMU_UNMAP_DMA,
    layout: uapi.vfio_iommu_type1_dma_unmap,
    fields: { flags: flag(0, 1, 2), iova, size: length },
    weight: 4,
    partial: CUT,
    unanswered: UNTOLD,
  }),
  structCommand({
    name: 'VFIO_IOMMU_UNMAP_DMA of everything',
    cmd: uapi.VFIO_IOMMU_UNMAP_DMA,
    layout: uapi.vfio_iommu_type1_dma_unmap,
    fields: { flags: fc.constant(2), iova: nothing, size: flag(0n, 1n) },
    weight: 1,
    partial: CUT,
    unanswered: UNTOLD,
  }),
  structCommand({
    name: 'VFIO_IOMMU_DIRTY_PAGES',
    cmd: uapi.VFIO_IOMMU_DIRTY_PAGES,
    layout: uapi.vfio_iommu_type1_dirty_bitmap,
    fields: { flags: fc.constantFrom(1, 2, 4) },
    weight: 1,
    always: { fails: NOT_HERE },
  }),
  plainCommand('an unknown ioctl', 0x3bff, fc.constantFrom(ARG, 0n), {
    weight: 1,
    always: { fails: 'nobody knows it' },
  }),
];

/** A command of a group with bytes at ARG. */
function onGroup(
  caller: Caller,
  fd: number,
  scene: Scene,
  how: { cmd: number; bytes: Uint8Array },
) {
  const file = caller.openFile(fd);
  if (!file?.ops.ioctl) return EBADF;
  void caller.task.mem.write(ARG, how.bytes);
  const { task } = caller;
  return calledBy(caller, scene.world, () => file.ops.ioctl!(file, task, how.cmd, ARG));
}
const DETACHED = 'Linux detaches the device when the answer cannot be written (vfio.md 3.3)';
const { VFIO_DEVICE_ATTACH_IOMMUFD_PT, vfio_device_attach_iommufd_pt } = uapi;
const attachable: fc.Arbitrary<Value> = fc.oneof(
  pick('IOAS'),
  pick('attachable'),
  pick('HWPT'),
  pick('PASID hwpt'),
);
const cdev = fc.oneof(sure('bound cdev fd'), sure('bound cdev fd'), sure('cdev fd'));

export const CDEV_COMMANDS: readonly Command[] = [
  otherCommand(
    'open of a cdev',
    { n: fc.nat(7) },
    ({ task }, { n }, scene) => scene.openCdev(task, Number(n)),
    { weight: 4 },
  ),
  fileCommand({
    name: 'VFIO_DEVICE_BIND_IOMMUFD',
    cmd: uapi.VFIO_DEVICE_BIND_IOMMUFD,
    layout: uapi.vfio_device_bind_iommufd,
    fields: {
      fd: sure('cdev fd'),
      iommufd: fc.oneof(sure('iommufd'), sure('iommufd'), sure('iommufd'), sure('any fd')),
      flags: flag(0, 1, 2),
      argsz: flag(24, 16, 12),
    },
    weight: 6,
  }),
  fileCommand({
    name: 'VFIO_DEVICE_ATTACH_IOMMUFD_PT',
    cmd: VFIO_DEVICE_ATTACH_IOMMUFD_PT,
    layout: vfio_device_attach_iommufd_pt,
    fields: { fd: cdev, flags: flag(0, 2), pt_id: attachable, argsz: flag(16, 12, 8) },
    weight: 8,
    unanswered: DETACHED,
  }),
  fileCommand({
    name: 'VFIO_DEVICE_ATTACH_IOMMUFD_PT of a PASID',
    cmd: VFIO_DEVICE_ATTACH_IOMMUFD_PT,
    layout: vfio_device_attach_iommufd_pt,
    fields: { fd: cdev, flags: fc.constant(1), pt_id: attachable, pasid, argsz: flag(16, 12) },
    weight: 4,
    unanswered: DETACHED,
  }),
  fileCommand({
    name: 'VFIO_DEVICE_DETACH_IOMMUFD_PT',
    cmd: uapi.VFIO_DEVICE_DETACH_IOMMUFD_PT,
    layout: uapi.vfio_device_detach_iommufd_pt,
    fields: { fd: cdev, flags: flag(0, 1, 2), pasid, argsz: flag(12, 8, 4) },
    weight: 2,
  }),
  otherCommand('unbind of a driver', { n: fc.nat(4) }, (_caller, { n }, scene) =>
    scene.unbind(Number(n)),
  ),
  otherCommand(
    'bind of a driver',
    { n: fc.nat(4) },
    (_caller, { n }, scene) => scene.bind(Number(n)),
    { weight: 3 },
  ),
  otherCommand(
    'DMA',
    {
      n: fc.nat(7),
      /** Only says whose mappings are met. */
      hwpt: sure('HWPT'),
      iova: fc.oneof(sure('mapping'), sure('mapping page 2'), iova),
      pasid: fc.oneof(one(3, -1), one(1, 5)),
      write: fc.nat(1),
    },
    (_caller, values, scene) =>
      scene.dma(Number(values['n']), {
        iova: BigInt(values['iova']!),
        pasid: Number(values['pasid']),
        write: values['write'] === 1,
      }),
    { weight: 6 },
  ),
];

const group = fc.oneof(sure('group fd'), sure('group fd'), sure('cdev fd'));

/** A group whose container is an iommufd. */
export const GROUP_COMMANDS: readonly Command[] = [
  otherCommand('open of a group', { n: fc.nat(3) }, ({ task }, { n }, scene) =>
    scene.openGroup(task, Number(n)),
  ),
  fileCommand({
    name: 'VFIO_GROUP_GET_STATUS',
    cmd: uapi.VFIO_GROUP_GET_STATUS,
    layout: uapi.vfio_group_status,
    fields: { fd: group, argsz: flag(8, 4) },
    weight: 1,
  }),
  otherCommand(
    'VFIO_GROUP_SET_CONTAINER',
    { fd: group, iommufd: fc.oneof(sure('iommufd'), sure('iommufd'), sure('any fd')) },
    (caller, { fd, iommufd }, scene) =>
      onGroup(caller, Number(fd), scene, {
        cmd: uapi.VFIO_GROUP_SET_CONTAINER,
        bytes: new Uint8Array(Int32Array.of(Number(iommufd)).buffer),
      }),
    { weight: 4 },
  ),
  otherCommand(
    'VFIO_GROUP_UNSET_CONTAINER',
    { fd: group },
    (caller, { fd }, scene) =>
      onGroup(caller, Number(fd), scene, {
        cmd: uapi.VFIO_GROUP_UNSET_CONTAINER,
        bytes: new Uint8Array(),
      }),
    { weight: 1 },
  ),
  otherCommand(
    'VFIO_GROUP_GET_DEVICE_FD',
    { fd: group, n: fc.nat(5) },
    (caller, { fd, n }, scene) =>
      onGroup(caller, Number(fd), scene, {
        cmd: uapi.VFIO_GROUP_GET_DEVICE_FD,
        bytes: new TextEncoder().encode(`${scene.deviceName(Number(n))}\0`),
      }),
    { weight: 4 },
  ),
];
