/** Optional fields of a parsed description: only those that were given, so that defaults of the layer below hold. */
export type Given<T> = { [K in keyof T]?: Exclude<T[K], undefined> };

/** The object without the keys whose value is undefined. */
export function fieldsGiven<T extends object>(options: T): Given<T> {
  const given = Object.entries(options).filter(([, value]) => value !== undefined);
  // cast: what is undefined was just left out
  return Object.fromEntries(given) as Given<T>;
}
