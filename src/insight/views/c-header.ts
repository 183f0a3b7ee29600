/**
 * The ABI that is served, as a C header: every number and struct of iommufd and VFIO, of the newest kernel, from the
 * declarations the calls themselves use (iommufd.md 2, vfio.md 0). For programs on systems whose own headers are older.
 */
import { u16, u32, u64, u8, type FieldType, type Fields, type Struct } from '../../base/struct.ts';
import * as iommufd from '../../uapi/iommufd.ts';
import * as vfio from '../../uapi/vfio.ts';

/** What C has after the last field: as many as the caller made room for. */
const FLEXIBLE: Readonly<Record<string, string>> = {
  vfio_device_feature: '__u8 data[]',
  vfio_irq_set: '__u8 data[]',
  vfio_iommu_type1_dirty_bitmap: '__u8 data[]',
  vfio_iommu_type1_dma_unmap: '__u8 data[]',
  vfio_pci_hot_reset: '__s32 group_fds[]',
  vfio_pci_hot_reset_info: 'struct vfio_pci_dependent_device devices[]',
  vfio_region_info_cap_sparse_mmap: 'struct vfio_region_sparse_mmap_area areas[]',
  vfio_iommu_type1_info_cap_iova_range: 'struct vfio_iova_range iova_ranges[]',
};

/** Guards of the system's own headers: what is in them is here. */
const GUARDS = ['_IOMMUFD_H', 'VFIO_H'];

const HEAD = `/* iommufd and VFIO, as softiommu serves them: include it in place of linux/iommufd.h and linux/vfio.h. */
#ifndef SOFTIOMMU_UAPI_H
#define SOFTIOMMU_UAPI_H
${GUARDS.map((guard) => `#define ${guard}`).join('\n')}

#include <linux/ioctl.h>
#include <linux/types.h>
`;

/** The header as text. */
export function cHeader(): string {
  const parts = [
    ['iommufd', iommufd],
    ['VFIO', vfio],
  ] as const;
  const texts = parts.map(([name, module]) => {
    const exported: readonly (readonly [string, unknown])[] = Object.entries(module);
    const numbers = exported.flatMap(([key, value]) => numberText(key, value));
    const structs = exported.map(([, value]) => value).filter(isStruct);
    return [`/* ${name}: numbers */`, ...numbers, '', ...ordered(structs).map(structText)].join(
      '\n',
    );
  });
  return [HEAD, ...texts, '#endif', ''].join('\n');
}

function numberText(name: string, value: unknown): string[] {
  if (typeof value !== 'number' || !/^[A-Z][A-Za-z0-9_]+$/.test(name)) return [];
  const text =
    value < 0 ? String(value) : `0x${value.toString(16)}${value > 0x7fff_ffff ? 'U' : ''}`;
  return [`#define ${name} ${text}`];
}

function isStruct(value: unknown): value is Struct<Fields> {
  return typeof value === 'object' && value !== null && 'cName' in value && 'fields' in value;
}
/** Those that others have an array of come before them. */
function ordered(structs: readonly Struct<Fields>[]): Struct<Fields>[] {
  const isElement = ({ cName }: Struct<Fields>): boolean =>
    Object.values(FLEXIBLE).some((text) => text.startsWith(`struct ${cName} `));
  return [...structs.filter(isElement), ...structs.filter((one) => !isElement(one))];
}

const TYPES: ReadonlyMap<unknown, string> = new Map<unknown, string>([
  [u8, '__u8'],
  [u16, '__u16'],
  [u32, '__u32'],
  [u64, '__aligned_u64'],
]);

function structText({ cName, fields }: Struct<Fields>): string {
  const lines = Object.entries(fields).map(([name, type]) => fieldText(name, type));
  const last = FLEXIBLE[cName];
  return `struct ${cName} {\n${[...lines, ...(last === undefined ? [] : [last])].map((line) => `\t${line};\n`).join('')}};\n`;
}
function fieldText(
  name: string,
  type: FieldType<number> | FieldType<bigint> | FieldType<Uint8Array>,
): string {
  const scalar = TYPES.get(type);
  return scalar === undefined ? `__u8 ${name}[${type.size}]` : `${scalar} ${name}`;
}
