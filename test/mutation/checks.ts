/**
 * What the mutation run deletes: the checks of the simulated kernel. A check is a condition that leads to a refusal: an errno,
 * an exception, `false` or `undefined`. Other conditions choose what is done, and are left alone.
 */

/** As much of a node of Babel's syntax tree as is asked for. */
interface Node {
  readonly type: string;
  readonly name?: string;
  readonly value?: unknown;
  readonly body?: readonly Node[];
  readonly argument?: Node | null;
  readonly object?: Node;
  readonly consequent?: Node;
  readonly alternate?: Node | null;
}

/** A node, and where it is. */
export interface Place {
  readonly key: string | number | null;
  readonly parent: Node | null;
}

/** Whether running the statement refuses something. */
function refuses(statement: Node | null | undefined): boolean {
  switch (statement?.type) {
    case 'BlockStatement':
      return refuses(statement.body?.at(-1));
    case 'ThrowStatement':
      return true;
    case 'ReturnStatement':
      return statement.argument == null || isRefusal(statement.argument);
    default:
      return false;
  }
}

function isRefusal(expression: Node | null | undefined): boolean {
  switch (expression?.type) {
    case 'UnaryExpression':
      return isRefusal(expression.argument);
    case 'MemberExpression':
      return expression.object?.name === 'errno';
    case 'BooleanLiteral':
      return !expression.value;
    case 'Identifier':
      return expression.name === 'undefined' || /refus/i.test(expression.name ?? '');
    case 'ConditionalExpression':
      return isRefusal(expression.consequent) || isRefusal(expression.alternate);
    default:
      return false;
  }
}

export function isCheck({ parent, key }: Place): boolean {
  switch (parent?.type) {
    case undefined:
      return true;
    case 'IfStatement':
      return key !== 'test' || refuses(parent.consequent);
    case 'ConditionalExpression':
      return key !== 'test' || isRefusal(parent.consequent) || isRefusal(parent.alternate);
    default:
      return !/^(For|While|DoWhile)/.test(parent?.type ?? '') || key === 'body';
  }
}
