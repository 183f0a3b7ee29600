/** Options that add up: each may be given any number of times. */

/** The parser of such an option: its values in the order they are given. */
export function collect(value: string, before: string[] | undefined): string[] {
  return [...(before ?? []), value];
}
