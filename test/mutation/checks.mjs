/**
 * What the mutation run deletes: the checks of the simulated kernel. A check is a condition that leads to a refusal: an errno,
 * an exception, `false` or `undefined`. Other conditions choose what is done, and are left alone.
 */
// @ts-nocheck

import { declareValuePlugin, PluginKind } from '@stryker-mutator/api/plugin';

/** Whether running the statement refuses something. */
function refuses(statement) {
  if (statement == null) return false;
  switch (statement.type) {
    case 'BlockStatement':
      return refuses(statement.body.at(-1));
    case 'ThrowStatement':
      return true;
    case 'ReturnStatement':
      return statement.argument == null || isRefusal(statement.argument);
    default:
      return false;
  }
}

function isRefusal(expression) {
  switch (expression.type) {
    case 'UnaryExpression':
      return isRefusal(expression.argument);
    case 'MemberExpression':
      return expression.object.name === 'errno';
    case 'BooleanLiteral':
      return !expression.value;
    case 'Identifier':
      return expression.name === 'undefined' || /refus/i.test(expression.name);
    case 'ConditionalExpression':
      return isRefusal(expression.consequent) || isRefusal(expression.alternate);
    default:
      return false;
  }
}

function isCheck({ node, parent, key }) {
  if (parent.type === 'IfStatement') return key !== 'test' || refuses(parent.consequent);
  if (parent.type === 'ConditionalExpression') return key !== 'test' || isRefusal(parent.consequent) || isRefusal(parent.alternate);
  return !/^(For|While|DoWhile)/.test(parent.type) || key === 'body';
}

export const strykerPlugins = [
  declareValuePlugin(PluginKind.Ignore, 'checks', {
    shouldIgnore: (path) => (path.parent == null || isCheck(path) ? undefined : 'It chooses, and refuses nothing'),
  }),
];
