/** Making a page table (core.md 3.8, "Init"): the driver's wishes checked against what the format can do. */
import { bugOn } from '../base/bug.ts';
import { EINVAL, EOPNOTSUPP, isErrno, type Result, type Status } from '../base/errno.ts';
import { refuse } from '../base/refuse.ts';
import { levelBitsOf, type PtConfig, type PtFeature, type PtFormat } from './format.ts';
import { GenericTable } from './engine/generic-table.ts';
import type { PageTable } from './page-table.ts';
import type { Ram } from './ram.ts';
import { tableRoom, type TableGeometry } from './engine/table.ts';

/**
 * An empty page table of that format in RAM.
 * EINVAL, EOPNOTSUPP: the configuration; ENOMEM: no frame for the top table.
 *
 * @kernel pt_iommu_init
 */
export function createPageTable(
  format: PtFormat,
  ram: Ram,
  config: PtConfig,
): Result<PageTable, 'EINVAL' | 'EOPNOTSUPP' | 'ENOMEM'> {
  const geometry = checkConfig(format, config);
  if (isErrno(geometry)) return geometry;
  const room = tableRoom(format);
  if (ram.frameCount > room) {
    return refuse(EOPNOTSUPP, 'the RAM has frames that a table pointer of the engine cannot name', {
      frames: ram.frameCount,
      room,
    });
  }
  const table = new GenericTable(format, ram, config, geometry);
  const top = ram.allocTable(table.rootFrames);
  if (isErrno(top)) return top;
  table.frames = table.rootFrames;
  table.setTop(top, geometry.topLevel);
  return table;
}

type Refused = 'EINVAL' | 'EOPNOTSUPP';

function checkConfig(format: PtFormat, config: PtConfig): Result<TableGeometry, Refused> {
  const topLevel = checkWidths(format, config) ?? pickTop(format, config);
  if (isErrno(topLevel)) return topLevel;
  const features = new Set(config.features);
  const status = checkFeatures(format, features);
  if (status) return status;
  const grows = features.has('dynamic-top');
  const vaLg2 = inputWidth(format, config, topLevel, grows);
  if (isErrno(vaLg2)) return vaLg2;
  const rootBits = grows ? 0 : Math.max(0, vaLg2 - spanOf(format, topLevel));
  if (vaLg2 === 64) features.add('full-va');
  const clash = checkCombination(features, config);
  if (clash) return clash;
  const { oaLg2 } = config;
  const pgsizeBitmap = leafBitmap(format, features, { vaLg2, oaLg2, topLevel, grows });
  return { vaLg2, oaLg2, topLevel, rootBits, features, pgsizeBitmap };
}

function checkWidths(format: PtFormat, { vaLg2, oaLg2 }: PtConfig): Status<'EINVAL'> {
  if (vaLg2 <= 0 || vaLg2 > format.maxVaLg2 || oaLg2 <= 0 || oaLg2 > format.maxOaLg2) {
    return refuse(EINVAL, 'an address width is 0 or wider than the format has', { vaLg2, oaLg2 });
  }
  if (format.exactVaLg2 && !format.exactVaLg2.includes(vaLg2)) {
    return refuse(EINVAL, 'the format has tables of other input widths only', { vaLg2 });
  }
  return undefined;
}

/** The width asked for, or what the top table spans where the format cuts it to that. */
function inputWidth(
  format: PtFormat,
  { vaLg2 }: PtConfig,
  topLevel: number,
  grows: boolean,
): Result<number, 'EOPNOTSUPP'> {
  const spanLg2 = widestOf(format, topLevel);
  if (grows || spanLg2 >= vaLg2) return vaLg2;
  if (format.cutToTop) return spanLg2;
  return refuse(EOPNOTSUPP, 'the top table is too small for the input width', { vaLg2, topLevel });
}

/** Input bits a top table of that level takes when it is as long as every other. */
function spanOf(format: PtFormat, topLevel: number): number {
  return Math.min(64, format.granuleLg2 + levelBitsOf(format) * (topLevel + 1));
}

/** The same of the longest top table the format has. */
function widestOf(format: PtFormat, topLevel: number): number {
  return Math.min(64, spanOf(format, topLevel) + (format.rootBits ?? 0));
}

function pickTop(format: PtFormat, config: PtConfig): Result<number, Refused> {
  const { min, max, refusal } = format.topLevel;
  let lowest = min;
  while (lowest < max && widestOf(format, lowest) < config.vaLg2) lowest++;
  const level = format.exactVaLg2 ? lowest : (config.topLevel ?? lowest);
  if (level < min || level > max) {
    return refuse(refusal, 'the top level is out of range', { level, min, max });
  }
  return level;
}

function checkFeatures(format: PtFormat, features: ReadonlySet<PtFeature>): Status<'EOPNOTSUPP'> {
  for (const feature of features) {
    if (!format.features.includes(feature)) {
      return refuse(EOPNOTSUPP, 'the format has no such feature', { feature });
    }
  }
  for (const feature of format.mandatory) {
    if (!features.has(feature)) {
      return refuse(EOPNOTSUPP, 'the format cannot do without a feature', { feature });
    }
  }
  return undefined;
}

function checkCombination(features: ReadonlySet<PtFeature>, config: PtConfig): Status<'EINVAL'> {
  const grows = features.has('dynamic-top');
  if (features.has('sign-extend') && (features.has('full-va') || grows)) {
    return refuse(EINVAL, 'sign extension excludes the full address space and a growing top');
  }
  if (grows && !config.hooks) {
    return refuse(EINVAL, 'a growing top wants hooks of the driver');
  }
  if (features.has('dma-incoherent') && !config.device) {
    return refuse(EINVAL, 'incoherent walks want a device to flush for');
  }
  return undefined;
}

interface Shape {
  readonly vaLg2: number;
  readonly oaLg2: number;
  readonly topLevel: number;
  readonly grows: boolean;
}

/** Every leaf size below half the input space and below the output space. */
function leafBitmap(format: PtFormat, features: ReadonlySet<PtFeature>, shape: Shape): bigint {
  let bitmap = 0n;
  const top = shape.grows ? format.topLevel.max : shape.topLevel;
  for (let level = 0; level <= top; level++) {
    for (const sizeG of format.leafSizes(level, features)) {
      const sizeLg2 = sizeG + format.granuleLg2;
      if (sizeLg2 < shape.vaLg2 - 1 && sizeLg2 < shape.oaLg2) bitmap |= 1n << BigInt(sizeLg2);
    }
  }
  bugOn(bitmap === 0n, `${format.name}: no page size fits ${shape.vaLg2} bits`);
  return bitmap;
}
