/**
 * The options of one device entry against those its type has: name, kind, range. A model is made of checked options
 * only.
 */
import type { DeviceOption, DeviceOptions, DeviceType } from '../../devices/port.ts';
import { given } from './wording.ts';

/** What is wrong with one option. */
export interface OptionProblem {
  readonly option: string;
  readonly message: string;
}

/** Every option that the type does not have, or not with this value. */
export function optionProblems(type: DeviceType, options: DeviceOptions): OptionProblem[] {
  return Object.entries(options).flatMap(([option, value]) => {
    const known = Object.hasOwn(type.options, option) ? type.options[option] : undefined;
    const message = known ? valueProblem(known, value) : unknownOption(type, option);
    return message === undefined ? [] : [{ option, message }];
  });
}

function unknownOption({ type, options }: DeviceType, option: string): string {
  const allowed = Object.keys(options).join(', ') || 'none';
  return `${type} has no option ${given(option)}; allowed: ${allowed}`;
}

function valueProblem(option: DeviceOption, value: DeviceOptions[string]): string | undefined {
  return isAllowed(option, value)
    ? undefined
    : `${given(value)} is not allowed; allowed: ${allowedValues(option)}`;
}

function isAllowed(option: DeviceOption, value: DeviceOptions[string]): boolean {
  if (typeof value !== typeof option.default) return false;
  if ('choices' in option) {
    return option.choices.some((choice) => choice === value);
  }
  if (typeof value !== 'number') return true;
  const { min, max } = rangeOf(option);
  return Number.isSafeInteger(value) && value >= min && value <= max;
}

/** The range of an option that is a number, inclusive. */
export function rangeOf(option: DeviceOption): { readonly min: number; readonly max: number } {
  const min = 'min' in option ? option.min : undefined;
  const max = 'max' in option ? option.max : undefined;
  return { min: min ?? 0, max: max ?? Number.MAX_SAFE_INTEGER };
}

/** In words, for messages and the manual: 'true, false', 'whole numbers from 0 to 20', 'any text', '39, 48'. */
export function allowedValues(option: DeviceOption): string {
  if (typeof option.default === 'boolean') return 'true, false';
  if ('choices' in option) return option.choices.join(', ');
  if (typeof option.default === 'string') return 'any text';
  const { min, max } = rangeOf(option);
  return `whole numbers from ${min} to ${max === Number.MAX_SAFE_INTEGER ? '2^53 - 1' : max}`;
}

/** The default as a person writes it in a machine file. */
export function defaultText(option: DeviceOption): string {
  const { default: value } = option;
  const inHex = 'hex' in option && option.hex && typeof value === 'number';
  return inHex ? `0x${value.toString(16)}` : String(value);
}
