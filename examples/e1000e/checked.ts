/** A number as an option may be, or misuse that names the option. @throws RangeError */
export function checkedAbove(name: string, value: number): number {
  if (!(value > 0)) throw new RangeError(`Expected a number above 0 for ${name} but received ${value}`);
  return value;
}

/** @throws RangeError */
export function checkedInteger(name: string, value: number, least: number, most = Number.MAX_SAFE_INTEGER): number {
  if (!Number.isInteger(value) || value < least || value > most) {
    const range = most === Number.MAX_SAFE_INTEGER ? `an integer from ${least} on` : `an integer from ${least} to ${most}`;
    throw new RangeError(`Expected ${range} for ${name} but received ${value}`);
  }
  return value;
}
