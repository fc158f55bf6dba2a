// eslint-disable-next-line no-control-regex -- what styleText adds.
const colours = /\u001b\[\d+m/g;

const width = (text: string): number => text.replace(colours, '').length;

/** Lines of cells, below each other; the last is as long as it is. */
export function columns(rows: readonly (readonly string[])[], indent = ''): string {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => width(row[column] ?? ''))));
  const cell = (text: string, column: number): string => text + ' '.repeat(Math.max(0, (widths[column] ?? 0) - width(text)));
  return rows.map((row) => `${indent}${row.map(cell).join('  ')}`.trimEnd()).join('\n');
}
