/** Rows of text as a table for people: each column as wide as its widest cell, two spaces between. */

/** One line a row, the last one without its end. All rows have as many cells as the first. */
export function columns(rows: readonly (readonly string[])[]): string {
  const widths = rows[0]!.map((_, n) => Math.max(...rows.map((row) => row[n]!.length)));
  const lines = rows.map((row) => row.map((cell, n) => cell.padEnd(widths[n]!)).join('  '));
  return lines.map((line) => line.trimEnd()).join('\n');
}
