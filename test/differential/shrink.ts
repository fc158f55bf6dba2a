/** The shortest sequence on which the kernels still differ. */
import type { Call, Operation, Value, Word } from './operation.js';

/**
 * Leaves out halves, quarters and so on, then single operations, then makes arguments simpler, for as long as `differs`
 * says that the kernels do: it runs each try from a clean state.
 */
export function shrink(operations: readonly Operation[], differs: (operations: readonly Operation[]) => boolean): readonly Operation[] {
  let shortest = operations;
  for (;;) {
    const before = shortest;
    shortest = leaveOut(shortest, differs);
    shortest = simplify(shortest, differs);
    if (shortest === before) return shortest;
  }
}

function leaveOut(operations: readonly Operation[], differs: (operations: readonly Operation[]) => boolean): readonly Operation[] {
  let rest = operations;
  for (let size = Math.ceil(rest.length / 2); size >= 1; size = size === 1 ? 0 : Math.ceil(size / 2)) {
    // From the end, so that what is needed by nothing any more goes first.
    for (let start = rest.length - size; start > -size; start -= size) {
      const without = [...rest.slice(0, Math.max(0, start)), ...rest.slice(start + size)];
      if (without.length < rest.length && differs(without)) rest = without;
    }
  }
  return rest;
}

function simplify(operations: readonly Operation[], differs: (operations: readonly Operation[]) => boolean): readonly Operation[] {
  let rest = operations;
  for (let index = 0; index < rest.length; index += 1) {
    for (;;) {
      const operation = rest[index];
      if (operation === undefined) break;
      const simpler = simplerOnes(operation)
        .map((candidate) => rest.with(index, candidate))
        .find(differs);
      if (simpler === undefined) break;
      rest = simpler;
    }
  }
  return rest;
}

/** Each with one argument nearer to nothing. */
function simplerOnes(operation: Operation): Operation[] {
  const { id } = operation;
  const changed: Call[] = [];
  if (operation.call === 'ioctl') {
    const { fields = {}, words = [] } = operation;
    for (const [name, value] of Object.entries(fields)) {
      const { [name]: _, ...others } = fields;
      if (isNothing(value)) changed.push({ ...operation, fields: others });
      else for (const simpler of simplerValues(value)) changed.push({ ...operation, fields: { ...fields, [name]: simpler } });
    }
    for (const [at, [type, value, ...name]] of words.entries())
      for (const simpler of simplerValues(value)) changed.push({ ...operation, words: words.with(at, [type, simpler, ...name] as Word) });
  }
  if (operation.call === 'pread' && operation.length > 1) changed.push({ ...operation, length: operation.length >> 1 });
  return changed.map((call) => ({ ...call, id }));
}

const isNothing = (value: Value): boolean => value === 0 || value === '0x0';

function simplerValues(value: Value): Value[] {
  // No fd is 0: that is a file of the process on one kernel alone.
  if (isNothing(value) || value === -1 || (typeof value === 'string' && value.startsWith('#'))) return [];
  if (typeof value === 'string' && /^\w+\+/.test(value)) return /\+0x0$/.test(value) ? [0] : [value.replace(/\+.*/, '+0x0')];
  return [0];
}
