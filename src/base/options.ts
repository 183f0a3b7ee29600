/** Options that people write in a machine file: what a device model or a type of IOMMU takes, as one kind of table. */

/** A value of an option. */
export type OptionValue = number | string | boolean;
/** Values by the names of their options. */
export type OptionValues = Readonly<Record<string, OptionValue>>;

/**
 * One option: a yes or no, a whole number of a range, a text, or one of a few values. A value that is none of these is
 * refused with the place it was written at, before anything is made. Without a default it depends on other options, and
 * `help` says how.
 */
export type Option = { readonly help: string } & (
  | { readonly kind: 'boolean'; readonly default?: boolean }
  | IntegerOption
  | TextOption
  | {
      readonly kind: 'choice';
      readonly values: readonly [OptionValue, ...OptionValue[]];
      readonly default?: OptionValue;
    }
);
interface TextOption {
  readonly kind: 'text';
  readonly default?: string;
  /** What the text must be, in words and as a pattern of the whole; anything where nothing is said. */
  readonly form?: { readonly words: string; readonly pattern: RegExp };
  /** Several, separated by commas: also where commas separate the options themselves, as on the command line. */
  readonly list?: boolean;
}
interface IntegerOption {
  readonly kind: 'integer';
  readonly default?: number;
  /** The least value; 0 where nothing is said. */
  readonly min?: number;
  /** The greatest value, inclusive; 2^53 - 1 where nothing is said. */
  readonly max?: number;
  /** People write it in hex. */
  readonly hex?: boolean;
}
/** Options by name. */
export type OptionTable = Readonly<Record<string, Option>>;

/** Values for a table: of every option with a default, and of others that were given. */
export type OptionsOf<T extends OptionTable> = {
  readonly [K in keyof T as T[K] extends HasDefault ? K : never]: ValueOf<T[K]>;
} & {
  readonly [K in keyof T as T[K] extends HasDefault ? never : K]?: ValueOf<T[K]>;
};
interface HasDefault {
  readonly default: OptionValue;
}
type ValueOf<O extends Option> = O extends { kind: 'boolean' }
  ? boolean
  : O extends { kind: 'integer' }
    ? number
    : O extends { kind: 'text' }
      ? string
      : O extends { values: readonly (infer V)[] }
        ? V
        : never;

/** What was given, and the defaults of the others. */
export function withDefaults(table: OptionTable, given: OptionValues): OptionValues {
  const defaults = Object.entries(table).flatMap(([name, option]) =>
    option.default === undefined ? [] : [[name, option.default] as const],
  );
  return { ...Object.fromEntries(defaults), ...given };
}

/** A value as people write it; '' for none. */
export function valueText(option: Option, value: OptionValue | undefined): string {
  if (value === undefined) return '';
  if (option.kind === 'integer' && option.hex) return `0x${value.toString(16)}`;
  return value === '' ? '(empty)' : String(value);
}
/** What an option may be, in a few words. */
export function rangeText(option: Option): string {
  if (option.kind === 'choice') return option.values.join(', ');
  if (option.kind !== 'integer') return option.kind;
  const [min = '', max = ''] = [option.min ?? 0, option.max].map((end) => valueText(option, end));
  return max === '' ? `${min} or more` : `${min} to ${max}`;
}
