/** What is mapped at and around the address of a fault. */
import type { FaultEvent } from '../../base/events.ts';
import { hex } from '../../base/u64.ts';
import { IOMMU_WRITE } from '../../core/contract/domain.ts';
import type { Machine } from '../../machine/machine.ts';
import { neighbours, type TableEntry, type Walk } from './nearest.ts';
import type { TroubleEvent } from './trouble.ts';

/** In a sentence; undefined: no unit is in the way, or the event is no fault. */
export function faultSurroundings(
  event: TroubleEvent,
  { machine }: { readonly machine: Machine },
): readonly string[] | undefined {
  if (event.kind !== 'fault') return undefined;
  const port = machine.pci.device(event.device.id)?.slot.dma;
  const { unit } = port ?? {};
  if (!port || !unit) return undefined;
  const walk: Walk = (iova) =>
    unit.explain(port.requesterId, event.pasid ?? -1, iova, event.write).walk;
  const there = walk(event.iova).at(-1);
  if (!there) return undefined;
  return [there.kind === 'leaf' ? rightsText(event, there) : surroundingsText(walk, event.iova)];
}
function rightsText({ iova, write }: FaultEvent, { prot = 0 }: TableEntry): string {
  const isWritable = (prot & IOMMU_WRITE) !== 0;
  if (write && !isWritable) return `${hex(iova)} is mapped for reading only, and the device writes`;
  return `${hex(iova)} is mapped now: it was mapped later, or what the IOMMU had cached was older`;
}
function surroundingsText(walk: Walk, iova: bigint): string {
  const { before, behind } = neighbours(walk, iova);
  const parts = [
    ...(before === undefined ? [] : [`the last mapped byte before it is ${hex(before)}`]),
    ...(behind === undefined ? [] : [`the first one behind it is ${hex(behind)}`]),
  ];
  const around = parts.length > 0 ? parts.join(', ') : 'nothing is mapped for this device at all';
  return `nothing is mapped at ${hex(iova)}: ${around}`;
}
