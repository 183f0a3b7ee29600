/**
 * What one VT-d unit can do: the configuration as written by people, resolved into plain facts and into the
 * capability registers (formats.md 3, 4, 7; VT-d 11.4.2, 11.4.3).
 */
import { bugOn } from '../../base/bug.ts';
import { cap, ecap, REG_FRCD } from './registers.ts';

export interface IntelHardwareConfig {
  /** 'dmar0', 'dmar1', … */
  readonly name?: string;
  /** Scalable mode (PASID tables) or legacy context entries. Default true. */
  readonly scalable?: boolean;
  /** Second-stage table widths the unit can walk: of 39, 48, 57. Default 39 and 48. */
  readonly widths?: readonly number[];
  /** Largest guest address width; default the largest of `widths`. */
  readonly mgaw?: number;
  /** Second-stage super pages. Default both. */
  readonly superpage2m?: boolean;
  readonly superpage1g?: boolean;
  /** Snoop control: the unit can force coherent accesses. Default true. */
  readonly snoopControl?: boolean;
  /** Page walks snoop the processor caches. Default true. */
  readonly coherentWalks?: boolean;
  /** Accessed and dirty bits in second-stage tables. Default: scalable. */
  readonly ssade?: boolean;
  /** Device TLBs. Default true. */
  readonly ats?: boolean;
  /** Page requests of devices with ATS and PRI; needs ATS and PASIDs. Default false. */
  readonly pageRequests?: boolean;
  /** Pass-through translation type. Default true. */
  readonly passThrough?: boolean;
  /** PASID width, 0 for none. Default 20 in scalable mode. */
  readonly pasidBits?: number;
  /** 2^n domain ids: even, 4…16. Default 16. */
  readonly domainIdBits?: number;
  /** First-stage tables; five levels; 1 GiB pages. Default scalable, false, true. */
  readonly firstStage?: boolean;
  readonly firstStage5?: boolean;
  readonly firstStage1g?: boolean;
  /** Second stage in scalable mode. Default true. */
  readonly secondStage?: boolean;
  /** Nested translation. Default: both stages. */
  readonly nested?: boolean;
  /** Supervisor requests, extended accessed flag. Default false. */
  readonly supervisor?: boolean;
  readonly extendedAccess?: boolean;
  /** Fault recording registers, 1…256. Default 8. */
  readonly faultRecords?: number;
}

export interface IntelHardware {
  readonly name: string;
  readonly scalable: boolean;
  /** Ascending. */
  readonly widths: readonly number[];
  readonly mgaw: number;
  readonly superpage2m: boolean;
  readonly superpage1g: boolean;
  readonly snoopControl: boolean;
  readonly coherentWalks: boolean;
  readonly ssade: boolean;
  readonly ats: boolean;
  readonly pageRequests: boolean;
  readonly passThrough: boolean;
  readonly pasidBits: number;
  readonly domainIdBits: number;
  readonly firstStage: boolean;
  readonly firstStage5: boolean;
  readonly firstStage1g: boolean;
  readonly secondStage: boolean;
  readonly nested: boolean;
  readonly supervisor: boolean;
  readonly extendedAccess: boolean;
  readonly faultRecords: number;
}

/** AW codes: 1 = 39 bits, 2 = 48, 3 = 57. */
export function awOfWidth(width: number): number {
  return (width - 30) / 9;
}
export function levelsOfAw(aw: number): number {
  return aw + 2;
}

/** Fill in the defaults. An impossible unit is a Bug: the machine description was checked before. */
export function resolveHardware(config: IntelHardwareConfig): IntelHardware {
  const scalable = config.scalable ?? true;
  const widths = [...(config.widths ?? [39, 48])].sort((a, b) => a - b);
  bugOn(
    widths.length === 0 || widths.some((w) => ![39, 48, 57].includes(w)),
    'a VT-d unit walks tables of 39, 48 or 57 bits',
  );
  const hw = {
    ...resolvePlain(config, scalable),
    ...resolveScalable(config, scalable),
    widths,
    mgaw: config.mgaw ?? widths[widths.length - 1]!,
  };
  bugOn(hw.mgaw < 12 || hw.mgaw > 57, 'MGAW is a width of 12 to 57 bits');
  bugOn(hw.domainIdBits < 4 || hw.domainIdBits > 16 || hw.domainIdBits % 2 !== 0, 'ND is even');
  bugOn(hw.pasidBits > 20, 'a PASID has 20 bits at most');
  bugOn(hw.nested && !(hw.firstStage && hw.secondStage), 'nesting needs both stages');
  return hw;
}

function resolvePlain(config: IntelHardwareConfig, scalable: boolean) {
  return {
    name: config.name ?? 'dmar0',
    scalable,
    superpage2m: config.superpage2m ?? true,
    superpage1g: config.superpage1g ?? true,
    snoopControl: config.snoopControl ?? true,
    coherentWalks: config.coherentWalks ?? true,
    ats: config.ats ?? true,
    passThrough: config.passThrough ?? true,
    domainIdBits: config.domainIdBits ?? 16,
    faultRecords: config.faultRecords ?? 8,
  };
}

/** Everything legacy mode cannot have; what needs something else is there with that only. */
function resolveScalable(config: IntelHardwareConfig, scalable: boolean) {
  const pasidBits = scalable ? (config.pasidBits ?? 20) : 0;
  const asks = (config.ats ?? true) && pasidBits > 0;
  const having = (feature: boolean | undefined, normal: boolean) => scalable && (feature ?? normal);
  const firstStage = having(config.firstStage, true);
  const secondStage = !scalable || having(config.secondStage, true);
  return {
    ssade: having(config.ssade, true),
    pageRequests: asks && having(config.pageRequests, false),
    pasidBits,
    firstStage,
    firstStage5: firstStage && having(config.firstStage5, false),
    firstStage1g: firstStage && having(config.firstStage1g, true),
    secondStage,
    nested: firstStage && secondStage && having(config.nested, true),
    supervisor: having(config.supervisor, false),
    extendedAccess: having(config.extendedAccess, false),
  };
}

function bits(...flags: boolean[]): number {
  return flags.reduce((word, flag, n) => word | (flag ? 1 << n : 0), 0);
}

/** Write CAP (two words at `at`) as this hardware reports it. */
export function writeCap(hw: IntelHardware, words: Int32Array, at: number): void {
  cap.nd.set(words, at, (hw.domainIdBits - 4) / 2);
  cap.sagaw.set(
    words,
    at,
    hw.widths.reduce((word, width) => word | (1 << awOfWidth(width)), 0),
  );
  cap.mgaw.set(words, at, hw.mgaw - 1);
  cap.zlr.set(words, at, 1);
  cap.fro.set(words, at, REG_FRCD / 16);
  cap.sslps.set(words, at, bits(hw.superpage2m, hw.superpage1g));
  cap.psi.set(words, at, 1);
  cap.nfr.set(words, at, hw.faultRecords - 1);
  cap.mamv.set(words, at, MAMV);
  cap.dwd.set(words, at, 1);
  cap.drd.set(words, at, 1);
  cap.fs1gp.set(words, at, Number(hw.firstStage1g));
  cap.fs5lp.set(words, at, Number(hw.firstStage5));
}

/** Largest address mask of a page-selective invalidation: 2^18 pages, 1 GiB. */
export const MAMV = 18;

export function writeEcap(hw: IntelHardware, words: Int32Array, at: number): void {
  const flags: Partial<Record<keyof typeof ecap, boolean>> = {
    c: hw.coherentWalks,
    qi: true,
    dt: hw.ats,
    pt: hw.passThrough,
    sc: hw.snoopControl,
    nest: hw.nested,
    prs: hw.pageRequests,
    srs: hw.supervisor,
    eafs: hw.extendedAccess,
    pasid: hw.pasidBits > 0,
    smts: hw.scalable,
    ssads: hw.ssade,
    ssts: hw.scalable && hw.secondStage,
    fsts: hw.firstStage,
    smpwcs: hw.scalable && hw.coherentWalks,
  };
  for (const [name, on] of Object.entries(flags)) {
    // cast: a name of the layout, and all of its fields are alike
    ecap[name as 'c'].set(words, at, Number(on));
  }
  if (hw.pasidBits > 0) ecap.pss.set(words, at, hw.pasidBits - 1);
}
