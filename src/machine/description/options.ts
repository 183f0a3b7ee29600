/**
 * Options of devices and IOMMUs against the table of their type: name, kind, range. Hardware is made of checked options
 * only.
 */
import type * as z from 'zod';
import type { Option, OptionTable, OptionValues } from '../../base/options.ts';
import { given } from './wording.ts';

/** What is wrong with one option. */
export interface OptionProblem {
  readonly option: string;
  readonly message: string;
}

/** Every option that is not in the table of a type, or not with this value. */
export function optionProblems(
  type: { readonly type: string; readonly options: OptionTable },
  options: OptionValues,
): OptionProblem[] {
  return Object.entries(options).flatMap(([option, value]) => {
    const known = Object.hasOwn(type.options, option) ? type.options[option] : undefined;
    if (!known) return [{ option, message: unknownOption(type.type, type.options, option) }];
    return isAllowed(known, value) ? [] : [{ option, message: notAllowedValue(known, value) }];
  });
}

function unknownOption(type: string, table: OptionTable, option: string): string {
  const allowed = Object.keys(table).join(', ') || 'none';
  return `${type} has no option ${given(option)}; allowed: ${allowed}`;
}

/** 'red' is not allowed; allowed: black, blue. */
export function notAllowedValue(option: Option, value: unknown): string {
  return `${given(value)} is not allowed; allowed: ${allowedValues(option)}`;
}

/** Is it a value of the option? */
export function isAllowed(option: Option, value: unknown): boolean {
  switch (option.kind) {
    case 'boolean':
      return typeof value === 'boolean';
    case 'text':
      return typeof value === 'string' && (option.form?.pattern.test(value) ?? true);
    case 'choice':
      return option.values.some((each) => each === value);
    case 'integer': {
      const { min, max } = rangeOf(option);
      return Number.isSafeInteger(value) && Number(value) >= min && Number(value) <= max;
    }
  }
}

function rangeOf(option: Option & { readonly kind: 'integer' }) {
  return { min: option.min ?? 0, max: option.max ?? Number.MAX_SAFE_INTEGER };
}

/** In words, for messages and the manual: 'true, false', 'whole numbers from 0 to 20', 'any text', '39, 48'. */
export function allowedValues(option: Option): string {
  switch (option.kind) {
    case 'boolean':
      return 'true, false';
    case 'text':
      return option.form?.words ?? 'any text';
    case 'choice':
      return option.values.join(', ');
    case 'integer': {
      const { min, max } = rangeOf(option);
      return `whole numbers from ${min} to ${max === Number.MAX_SAFE_INTEGER ? '2^53 - 1' : max}`;
    }
  }
}

/** The default as a person writes it in a machine file; undefined: it depends on other options. */
export function defaultText(option: Option): string | undefined {
  const { default: value } = option;
  const inHex = option.kind === 'integer' && option.hex && typeof value === 'number';
  return inHex ? `0x${value.toString(16)}` : value?.toString();
}

/** The option in a JSON Schema. */
export function optionSchema(option: Option): z.core.JSONSchema.BaseSchema {
  const { default: value, help: description } = option;
  return { ...valuesOf(option), ...(value !== undefined && { default: value }), description };
}

function valuesOf(option: Option): z.core.JSONSchema.BaseSchema {
  switch (option.kind) {
    case 'boolean':
      return { type: 'boolean' };
    case 'text':
      return { type: 'string', ...(option.form && { pattern: option.form.pattern.source }) };
    case 'choice':
      return { enum: [...option.values] };
    case 'integer': {
      const { min, max } = rangeOf(option);
      return { type: 'integer', minimum: min, maximum: max };
    }
  }
}
