/**
 * The mutants of one run: conditions of the simulated kernel's checks, each with an answer that it is to have in its own's place;
 * and the source with each such condition asked through conditions.ts.
 *
 * A check is a condition that leads to a refusal: an errno, an exception, `false` or `undefined`. Conditions that choose what
 * is done are left alone.
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import ts from 'typescript';

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
  /** By a mutant's id, the test that noticed it in the run before. */
  readonly noticedBefore?: Readonly<Record<string, string | undefined>>;
}

/** The same in each run, wherever the condition has moved to. */
export function namesOf({ mutants }: Mutation): Map<Mutant, string> {
  const times = new Map<string, number>();
  return new Map(
    mutants.map((mutant) => {
      const name = `${mutant.file}: ${mutant.code} → ${mutant.replacement}`;
      const before = times.get(name) ?? 0;
      times.set(name, before + 1);
      return [mutant, `${name} (${before})`];
    }),
  );
}

/** Mutants of some files, and of others the loops counted, as a mutant may make those endless. */
export function mutate(paths: readonly string[], others: readonly string[]): Mutation {
  const mutants: Mutant[] = [];
  const sources = [
    ...paths.map((path) => [path, mutateFile(path, true, mutants)] as const),
    ...others.map((path) => [path, mutateFile(path, false, mutants)] as const),
  ];
  return { sources: Object.fromEntries(sources), mutants };
}

/** The source with its loops counted and, if it is to be tried, its conditions asked; and into `mutants` what those may answer. */
function mutateFile(path: string, isTried: boolean, mutants: Mutant[]): string {
  const text = readFileSync(path, 'utf8');
  const source = ts.createSourceFile(path, text, ts.ScriptTarget.Latest, true);
  const inserted: { readonly at: number; readonly text: string }[] = [];

  const textOf = (node: ts.Node): string => node.getText(source).replaceAll(/\s+/g, ' ');
  const place = (node: ts.Node) => ({ file: path, line: source.getLineAndCharacterOfPosition(node.getStart(source)).line + 1 });

  function ask(node: ts.Expression, replacements: readonly boolean[]): void {
    const number = mutants.length;
    for (const replacement of replacements)
      mutants.push({ id: `${number}:${replacement}`, ...place(node), code: textOf(node), replacement: String(replacement) });
    inserted.push({ at: node.getStart(source), text: `(globalThis.conditions.answer(${number}, () => (` });
    visitChildren(node);
    inserted.push({ at: node.getEnd(), text: ')))' });
  }

  /** A case without its statements goes on with the next one's. */
  function skip(clause: ts.CaseOrDefaultClause): void {
    const number = mutants.length;
    const [first, last] = [clause.statements[0]!, clause.statements.at(-1)!];
    const replacement = textOf(clause)
      .slice(0, textOf(clause).indexOf(textOf(first)))
      .trim();
    mutants.push({ id: `${number}:false`, ...place(clause), code: textOf(clause), replacement });
    inserted.push({ at: first.getStart(source), text: `if (globalThis.conditions.answer(${number}, () => true)) {` });
    visitChildren(clause);
    inserted.push({ at: last.getEnd(), text: '}' });
  }

  /** A loop's turns, since with a mutant it may have no end. */
  function count(body: ts.Statement): void {
    inserted.push({ at: body.getStart(source), text: '{globalThis.conditions.step();' });
    visit(body);
    inserted.push({ at: body.getEnd(), text: '}' });
  }

  function visitChildren(node: ts.Node): void {
    ts.forEachChild(node, visit);
  }

  function visit(node: ts.Node): void {
    if (ts.isTypeNode(node)) return;
    if (ts.isIterationStatement(node, false)) count(node.statement);
    else if (!isTried) visitChildren(node);
    else if (ts.isIfStatement(node)) {
      if (refuses(node.thenStatement)) ask(node.expression, [true, false]);
      visit(node.thenStatement);
      if (node.elseStatement !== undefined) visit(node.elseStatement);
    } else if (ts.isConditionalExpression(node)) {
      if (isRefusal(node.whenTrue) || isRefusal(node.whenFalse)) visit(node.condition);
      visit(node.whenTrue);
      visit(node.whenFalse);
    } else if (ts.isCaseOrDefaultClause(node) && node.statements.length > 0) skip(node);
    else if (isCondition(node)) ask(node, answersOf(node));
    else visitChildren(node);
  }

  visitChildren(source);
  // From the end to the beginning; of two in one place, what was inserted first is to be the outer one.
  return inserted
    .toReversed()
    .toSorted((one, other) => other.at - one.at)
    .reduce((mutated, { at, text: addition }) => mutated.slice(0, at) + addition + mutated.slice(at), text);
}

const comparisons = new Set([
  ts.SyntaxKind.EqualsEqualsEqualsToken,
  ts.SyntaxKind.ExclamationEqualsEqualsToken,
  ts.SyntaxKind.LessThanToken,
  ts.SyntaxKind.LessThanEqualsToken,
  ts.SyntaxKind.GreaterThanToken,
  ts.SyntaxKind.GreaterThanEqualsToken,
  ts.SyntaxKind.AmpersandAmpersandToken,
  ts.SyntaxKind.BarBarToken,
]);

function isCondition(node: ts.Node): node is ts.BinaryExpression {
  return ts.isBinaryExpression(node) && comparisons.has(node.operatorToken.kind);
}

/** A part of a longer condition decides it only by one of its answers: the other is that of the whole. */
function answersOf(node: ts.Expression): readonly boolean[] {
  let { parent } = node;
  while (ts.isParenthesizedExpression(parent)) ({ parent } = parent);
  if (!ts.isBinaryExpression(parent)) return [true, false];
  if (parent.operatorToken.kind === ts.SyntaxKind.BarBarToken) return [false];
  return parent.operatorToken.kind === ts.SyntaxKind.AmpersandAmpersandToken ? [true] : [true, false];
}

function refuses(statement: ts.Statement): boolean {
  if (ts.isBlock(statement)) return statement.statements.length > 0 && refuses(statement.statements.at(-1)!);
  if (ts.isReturnStatement(statement)) return statement.expression === undefined || isRefusal(statement.expression);
  return ts.isThrowStatement(statement);
}

function isRefusal(node: ts.Expression): boolean {
  if (ts.isPrefixUnaryExpression(node)) return isRefusal(node.operand);
  if (ts.isPropertyAccessExpression(node)) return node.expression.getText() === 'errno';
  if (ts.isIdentifier(node)) return node.text === 'undefined' || /refus/i.test(node.text);
  if (ts.isConditionalExpression(node)) return isRefusal(node.whenTrue) || isRefusal(node.whenFalse);
  return node.kind === ts.SyntaxKind.FalseKeyword;
}

const saved = 'reports/mutation.json';

export function save(mutation: Mutation): void {
  writeFileSync(saved, JSON.stringify(mutation));
}

/** The run that was saved last, if there was one. */
export function load(): Mutation | undefined {
  return existsSync(saved) ? (JSON.parse(readFileSync(saved, 'utf8')) as Mutation) : undefined;
}
