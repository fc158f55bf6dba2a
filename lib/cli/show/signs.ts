/** How lines of configuration space are put: as lspci's readers know them. */

/** 'Enable+' or 'Enable-'. */
export function sign(name: string, set: boolean): string {
  return `${name}${set ? '+' : '-'}`;
}

/** Several in a row: `{ 'I/O': true, Mem: false }` is 'I/O+ Mem-'. */
export function signs(named: Readonly<Record<string, boolean>>): string {
  return Object.entries(named)
    .map(([name, set]) => sign(name, set))
    .join(' ');
}

/** Hexadecimal, with zeros before it. */
export function hex(value: number | bigint, digits: number): string {
  return value.toString(16).padStart(digits, '0');
}
