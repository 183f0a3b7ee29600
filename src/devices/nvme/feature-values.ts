/** Features: what a host can ask for and set, and their values (devices.md 4.4). */

/** One feature whose value is a dword. */
export interface FeatureSpec {
  readonly default: number;
  /** Set Features takes it. */
  readonly changeable: boolean;
  /** Bits that are kept; others are zero. Default all. */
  readonly bits?: number;
}

export const FEATURE = {
  ARBITRATION: 0x01,
  POWER: 0x02,
  TEMPERATURE: 0x04,
  ERROR_RECOVERY: 0x05,
  WRITE_CACHE: 0x06,
  QUEUES: 0x07,
  COALESCING: 0x08,
  VECTOR: 0x09,
  ATOMICITY: 0x0a,
  EVENTS: 0x0b,
  TIMESTAMP: 0x0e,
} as const;

/** Kelvin: as warm as it is, and from when on it is too warm. */
export const TEMPERATURE = 320;
export const WARNING_TEMPERATURE = 343;
export const CRITICAL_TEMPERATURE = 353;

/** Those whose value is a dword and the same for everything; the others are in feature-commands.ts. */
export const PLAIN_FEATURES: ReadonlyMap<number, FeatureSpec> = new Map([
  [FEATURE.ARBITRATION, { default: 0, changeable: true }],
  [FEATURE.POWER, { default: 0, changeable: true, bits: 0x1f }],
  [FEATURE.ERROR_RECOVERY, { default: 0, changeable: true, bits: 0x1ffff }],
  [FEATURE.WRITE_CACHE, { default: 1, changeable: true, bits: 1 }],
  [FEATURE.COALESCING, { default: 0, changeable: true, bits: 0xffff }],
  [FEATURE.ATOMICITY, { default: 0, changeable: true, bits: 1 }],
  [FEATURE.EVENTS, { default: 0, changeable: true, bits: 0x1ff }],
]);

/** Values of all features at one moment. */
export interface FeatureState {
  readonly plain: Readonly<Record<number, number>>;
  readonly over: number;
  readonly under: number;
  readonly uncoalesced: readonly number[];
  /** Milliseconds: what the host set, and when by the clock of the machine in ns. */
  readonly timestamp: { readonly ms: number; readonly setNs: number } | undefined;
}

/** The features of a controller, as they are set. */
export class FeatureValues {
  readonly #plain = new Map<number, number>();
  /** Thresholds of the temperature, in kelvin. */
  over = WARNING_TEMPERATURE;
  under = 0;
  /** Vectors whose interrupts must not be coalesced; kept, as nothing is coalesced. */
  readonly uncoalesced = new Set<number>();
  timestamp: FeatureState['timestamp'];

  get(id: number): number {
    return this.#plain.get(id) ?? PLAIN_FEATURES.get(id)?.default ?? 0;
  }
  set(id: number, value: number): void {
    this.#plain.set(id, value & (PLAIN_FEATURES.get(id)?.bits ?? -1));
  }
  get cachesWrites(): boolean {
    return this.get(FEATURE.WRITE_CACHE) === 1;
  }
  /** Everything at its default. */
  reset(): void {
    this.#plain.clear();
    this.over = WARNING_TEMPERATURE;
    this.under = 0;
    this.uncoalesced.clear();
    this.timestamp = undefined;
  }

  /** A copy. */
  state(): FeatureState {
    return {
      plain: Object.fromEntries(this.#plain),
      over: this.over,
      under: this.under,
      uncoalesced: [...this.uncoalesced],
      timestamp: this.timestamp && { ...this.timestamp },
    };
  }
  restore({ plain, over, under, uncoalesced, timestamp }: FeatureState): void {
    this.reset();
    for (const [id, value] of Object.entries(plain)) this.#plain.set(Number(id), value);
    this.over = over;
    this.under = under;
    for (const vector of uncoalesced) this.uncoalesced.add(vector);
    this.timestamp = timestamp && { ...timestamp };
  }
}
