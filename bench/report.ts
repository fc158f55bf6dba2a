/** What was measured: as a table and, where `npm run bench` collects it, as a line of JSON. */
import { appendFileSync } from 'node:fs';

export interface Figure {
  readonly title: string;
  /** Of each number. */
  readonly unit: 'nanoseconds' | 'microseconds' | 'milliseconds';
  /** By what was done, and who did it; undefined where that one is not there, or cannot. */
  readonly rows: Readonly<Record<string, Readonly<Record<string, number | undefined>>>>;
  /** Whose figure others are compared with, if any. */
  readonly floor?: string;
  /** Who is compared. Default: 'this package'. */
  readonly compared?: string;
  /** Whom it is to be ahead of. The rows where it is not are named. */
  readonly others?: readonly string[];
  /** What some rows are to take at most; those that take more are named. */
  readonly aims?: Aims;
}

/** By row: how many times the floor's figure, or how many of the unit. */
export type Aims = Readonly<Record<string, { readonly times: number } | { readonly most: number }>>;

/** Nearer to each other than this, two figures are not told apart: another run may have them the other way round. */
const close = 1.03;

export function report(figure: Figure): void {
  const { title, unit, rows, floor = '', compared = 'this package', others = [], aims = {} } = figure;
  const ratioTo = (who: string, row: Readonly<Record<string, number | undefined>>): number => (row[compared] ?? NaN) / (row[who] ?? NaN);
  console.log(`\n${title}, ${unit} each`);
  console.table(
    Object.fromEntries(
      Object.entries(rows).map(([name, row]) => {
        const cells = Object.entries(row).map(([who, value]) => [who, value === undefined ? 'absent' : short(value)]);
        const ratio = ratioTo(floor, row);
        return [name, { ...Object.fromEntries(cells), ...(ratio > 0 && { [`to ${floor}`]: short(ratio) }) }];
      }),
    ),
  );
  for (const [name, row] of Object.entries(rows)) {
    for (const who of others.filter((other) => ratioTo(other, row) > close)) {
      console.log(`${name}: behind ${who}, ${short(ratioTo(who, row))} times as long`);
    }
  }
  for (const [name, aim] of Object.entries(aims)) {
    const row = rows[name];
    if (row === undefined) throw new Error(`There is no row '${name}' to aim at something`);
    const [took, most, of] = 'times' in aim ? [ratioTo(floor, row), aim.times, `times ${floor}`] : [row[compared] ?? NaN, aim.most, unit];
    if (!(took <= most)) console.log(`${name}: ${short(took)} ${of}, where the aim is ${short(most)} at most`);
  }
  const file = process.env['VFIO_BENCH_FIGURES'];
  if (file !== undefined) appendFileSync(file, `${JSON.stringify(figure)}\n`);
}

/** Three digits, or all before the point. */
function short(value: number): number {
  return Number(value >= 100 ? value.toFixed(0) : value.toPrecision(3));
}
