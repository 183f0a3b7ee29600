/** What the user of the library was given and has not given back: a machine that is closed with it is still in use. */
export class Holdings {
  readonly #names = new Map<unknown, string>();

  /** Given: by the thing itself, with a name for people. */
  add(what: unknown, name: string): void {
    this.#names.set(what, name);
  }
  /** Given back. */
  delete(what: unknown): void {
    this.#names.delete(what);
  }
  get names(): readonly string[] {
    return [...this.#names.values()];
  }
}
