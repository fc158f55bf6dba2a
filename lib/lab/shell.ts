/** One word of a POSIX shell, whatever the text holds. */
export function quote(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

/** A script that goes where `cwd` says, with that environment and nothing else, and becomes the command. */
export function commandScript(command: readonly string[], cwd: string, environment: Readonly<Record<string, string | undefined>>): string {
  const variables = Object.entries(environment).flatMap(([name, value]) =>
    value !== undefined && /^[A-Za-z_][A-Za-z0-9_]*$/.test(name) ? [`${name}=${quote(value)}`] : [],
  );
  return `cd ${quote(cwd)} || exit 125\nexec env -i \\\n${[...variables, ...command.map(quote)].join(' \\\n')}\n`;
}
