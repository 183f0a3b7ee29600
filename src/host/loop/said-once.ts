/** Lines to the user of softiommu that are worth saying, and not worth repeating. */

/** Says each text once. */
export function saidOnce(say: (text: string) => void): (text: string) => void {
  const said = new Set<string>();
  return (text) => {
    if (!said.has(text)) say(text);
    said.add(text);
  };
}
