/** Parsers of what options are given, as several commands need them. */
import { InvalidArgumentError } from '@commander-js/extra-typings';

/** Of an option that adds up: its values in the order they are given. */
export function collect(value: string, before: string[] | undefined): string[] {
  return [...(before ?? []), value];
}
/** A whole number from 1 on. Throws InvalidArgumentError. */
export function positive(text: string): number {
  const number = /^\d{1,6}$/.test(text) ? Number(text) : 0;
  if (number > 0) return number;
  throw new InvalidArgumentError('it is a whole number from 1 on.');
}
