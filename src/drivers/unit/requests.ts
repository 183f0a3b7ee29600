/** What most units answer the rarer requests with: the plain translation, dressed up. */
import {
  unanswered,
  type BusMessage,
  type RemappingUnit,
  type UnitAnswer,
  type UnitRequest,
} from '../../core/contract/remapping-unit.ts';
import { IOMMU_READ, IOMMU_WRITE } from '../../pt/page-table.ts';

type Translating = Pick<RemappingUnit, 'granuleLg2' | 'translate'>;

/** A read or write, attributes or not, answered by translate(). */
export function plainAnswer(unit: Translating, request: UnitRequest): UnitAnswer {
  const { requesterId, pasid, iovaG, access } = request;
  const write = access === 'write';
  const outG = unit.translate(requesterId, pasid, iovaG, write);
  if (outG < 0) return unanswered('aborted');
  return { outcome: 'translated', outG, prot: write ? IOMMU_WRITE : IOMMU_READ, sizeLg2: 0 };
}

/** A message that goes the way of every write; undefined: it was blocked. */
export function translatedMessage(
  unit: Translating,
  requesterId: number,
  message: BusMessage,
): BusMessage | undefined {
  const lg2 = unit.granuleLg2;
  const perHigh = 2 ** (32 - lg2);
  const iovaG = message.addressHi * perHigh + (message.addressLo >>> lg2);
  const outG = unit.translate(requesterId, -1, iovaG, true);
  if (outG < 0) return undefined;
  const inside = message.addressLo & ((1 << lg2) - 1);
  return {
    addressLo: (((outG % perHigh) << lg2) | inside) >>> 0,
    addressHi: Math.floor(outG / perHigh),
    data: message.data,
  };
}
