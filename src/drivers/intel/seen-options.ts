/**
 * What a real unit can do, by its CAP and ECAP registers (VT-d 11.4.2, 11.4.3) as Linux shows them in `intel-iommu`: the
 * other way of hardware.ts. What a unit here cannot be becomes the nearest that it can.
 */
import { cap, ecap } from './registers.ts';

/** Options of `type: intel`, each of them. */
export interface SeenIntelOptions {
  readonly scalable: boolean;
  readonly width: 39 | 48 | 57;
  readonly superpage2m: boolean;
  readonly superpage1g: boolean;
  readonly snoopControl: boolean;
  readonly coherentWalks: boolean;
  readonly ssade: boolean;
  readonly ats: boolean;
  readonly pageRequests: boolean;
  readonly passThrough: boolean;
  readonly pasidBits: number;
  readonly domainIdBits: 4 | 6 | 8 | 10 | 12 | 14 | 16;
  readonly firstStage: boolean;
  readonly firstStage5: boolean;
  readonly firstStage1g: boolean;
  readonly secondStage: boolean;
  readonly nested: boolean;
  readonly faultRecords: number;
}

/** Undefined: Linux writes no such text of a register. */
export function seenIntelOptions(capText: string, ecapText: string): SeenIntelOptions | undefined {
  const [c, e] = [wordsOf(capText), wordsOf(ecapText)];
  if (!c || !e) return undefined;
  const pages = cap.sslps.get(c, 0);
  return {
    ...scalableOptions(c, (flag) => hasExtended(e, flag)),
    ...pasidOptions(e),
    width: widthOf(cap.mgaw.get(c, 0) + 1),
    superpage2m: (pages & 1) !== 0,
    superpage1g: (pages & 2) !== 0,
    snoopControl: hasExtended(e, 'sc'),
    coherentWalks: hasExtended(e, 'c'),
    ats: hasExtended(e, 'dt'),
    passThrough: hasExtended(e, 'pt'),
    domainIdBits: DOMAIN_ID_BITS[cap.nd.get(c, 0)] ?? 16,
    faultRecords: cap.nfr.get(c, 0) + 1,
  };
}

type Flag = keyof typeof ecap;
function hasExtended(words: Int32Array, flag: Flag): boolean {
  return ecap[flag as 'c'].get(words, 0) !== 0; // cast: all fields are alike
}

/** Neither stage at all is a unit that says nothing of them: it has the second. */
function scalableOptions(words: Int32Array, has: (flag: Flag) => boolean) {
  const scalable = has('smts');
  const firstStage = scalable && has('fsts');
  const secondStage = !firstStage || has('ssts');
  return {
    scalable,
    ssade: scalable && has('ssads'),
    firstStage,
    firstStage5: firstStage && cap.fs5lp.get(words, 0) !== 0,
    firstStage1g: firstStage && cap.fs1gp.get(words, 0) !== 0,
    secondStage,
    nested: firstStage && secondStage && has('nest'),
  };
}

/** Of scalable mode only: what early units called PASIDs is another thing. */
function pasidOptions(words: Int32Array) {
  const has = hasExtended(words, 'smts') && hasExtended(words, 'pasid');
  const pasidBits = has ? Math.min(20, ecap.pss.get(words, 0) + 1) : 0;
  const asks = hasExtended(words, 'prs') && hasExtended(words, 'dt');
  return { pasidBits, pageRequests: asks && pasidBits > 0 };
}

const DOMAIN_ID_BITS = [4, 6, 8, 10, 12, 14, 16] as const;
const WIDTHS = [39, 48, 57] as const;

/** What a device can reach decides: units of 39 bits walk tables of 48, some of them no others. */
function widthOf(mgaw: number): 39 | 48 | 57 {
  return WIDTHS.find((width) => width >= mgaw) ?? 57;
}

/** Two words of a register, "%llx\n". */
function wordsOf(text: string): Int32Array | undefined {
  if (!/^[0-9a-f]{1,16}\n$/.test(text)) return undefined;
  const value = BigInt(`0x${text.trimEnd()}`);
  return new Int32Array([
    Number(BigInt.asIntN(32, value)),
    Number(BigInt.asIntN(32, value >> 32n)),
  ]);
}
