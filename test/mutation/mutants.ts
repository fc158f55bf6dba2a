/** The mutants of one run: what is deleted, and the simulated kernel with a switch at each place. */
import { readFileSync, writeFileSync } from 'node:fs';
import { Instrumenter } from '@stryker-mutator/instrumenter';
import { isCheck, type Place } from './checks.js';

export interface Mutant {
  readonly id: string;
  readonly file: string;
  readonly line: number;
  /** The condition, as it is written. */
  readonly code: string;
  readonly replacement: string;
}

/** A run: by path, the source that is tested in place of the file's own. */
export interface Mutation {
  readonly sources: Readonly<Record<string, string>>;
  readonly mutants: readonly Mutant[];
}

/** Of the mutations that Stryker knows, those of conditions are made alone. */
const excludedMutations = [
  ...['ArithmeticOperator', 'ArrayDeclaration', 'ArrowFunction', 'AssignmentOperator', 'BlockStatement', 'BooleanLiteral'],
  ...['EqualityOperator', 'LogicalOperator', 'MethodExpression', 'ObjectLiteral', 'OptionalChaining', 'Regex', 'StringLiteral'],
  ...['UnaryOperator', 'UpdateOperator'],
];

const silent = Object.assign(
  Object.fromEntries(['trace', 'debug', 'info', 'warn', 'error', 'fatal'].map((level) => [level, () => undefined])),
  { isDebugEnabled: () => false },
);

export async function mutate(paths: readonly string[]): Promise<Mutation> {
  const files = paths.map((name) => ({ name, mutate: true, content: readFileSync(name, 'utf8') }));
  const ignorer = { shouldIgnore: (place: unknown) => (isCheck(place as Place) ? undefined : 'It chooses, and refuses nothing') };
  const { files: sources, mutants } = await new Instrumenter(silent as never).instrument(files, {
    plugins: null,
    excludedMutations,
    ignorers: [ignorer],
  });
  return {
    sources: Object.fromEntries(sources.map(({ name, content }) => [name, content])),
    mutants: mutants
      .filter(({ status }) => status === undefined)
      .map(({ id, fileName, replacement, location }) => ({
        id,
        file: fileName,
        line: location.start.line + 1,
        code: textAt(files.find(({ name }) => name === fileName)!.content, location),
        replacement,
      })),
  };
}

interface Position {
  readonly line: number;
  readonly column: number;
}

function textAt(source: string, { start, end }: { readonly start: Position; readonly end: Position }): string {
  const lines = source.split('\n').slice(start.line, end.line + 1);
  lines[lines.length - 1] = lines.at(-1)!.slice(0, end.column);
  lines[0] = lines[0]!.slice(start.column);
  return lines.join(' ').replaceAll(/\s+/g, ' ').trim();
}

const path = 'reports/mutation.json';

export function save(mutation: Mutation): void {
  writeFileSync(path, JSON.stringify(mutation));
}

export function load(): Mutation {
  return JSON.parse(readFileSync(path, 'utf8')) as Mutation;
}
