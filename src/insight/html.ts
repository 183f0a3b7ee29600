/** Text as it may stand in a page or another file of tags, between them and in the value of an attribute. */

const ENTITIES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
};

/** Nothing in it is markup. */
export function escaped(text: string): string {
  return text.replace(/[&<>"]/g, (each) => ENTITIES[each]!);
}
