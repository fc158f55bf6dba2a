/** What was measured: as a table and, where `npm run bench` collects it, as a line of JSON. */
import { appendFileSync } from 'node:fs';

export interface Figure {
  readonly title: string;
  /** Of each number. */
  readonly unit: 'nanoseconds' | 'microseconds';
  /** By what was done, and who did it; undefined where that one is not there. */
  readonly rows: Readonly<Record<string, Readonly<Record<string, number | undefined>>>>;
  /** Whose figure others are compared with, if any. */
  readonly floor?: string;
  /** Who is compared. Default: 'this package'. */
  readonly compared?: string;
}

/** The ratio of a row's figure to its floor's. */
export function ratioOf({ floor = '', compared = 'this package' }: Figure, row: Readonly<Record<string, number | undefined>>): number {
  return (row[compared] ?? NaN) / (row[floor] ?? NaN);
}

export function report(figure: Figure): void {
  const { title, unit, rows, floor } = figure;
  console.log(`\n${title}, ${unit} each`);
  console.table(
    Object.fromEntries(
      Object.entries(rows).map(([name, row]) => {
        const cells = Object.entries(row).map(([who, value]) => [who, value === undefined ? 'absent' : short(value)]);
        const ratio = ratioOf(figure, row);
        return [name, { ...Object.fromEntries(cells), ...(floor !== undefined && ratio > 0 && { [`to ${floor}`]: short(ratio) }) }];
      }),
    ),
  );
  const file = process.env['VFIO_BENCH_FIGURES'];
  if (file !== undefined) appendFileSync(file, `${JSON.stringify(figure)}\n`);
}

/** Three digits, or all before the point. */
function short(value: number): number {
  return Number(value >= 100 ? value.toFixed(0) : value.toPrecision(3));
}
