/** An integer of that range. @throws RangeError that names it */
export function checkedInteger(name: string, value: number, least: number, most: number): number {
  if (!Number.isSafeInteger(value) || value < least || value > most)
    throw new RangeError(`Expected an integer from ${least} to ${most} for ${name} but received ${value}`);
  return value;
}
