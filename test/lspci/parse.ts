/** What `lspci -vvv -nn -D` says, in parts. */

/** One device. */
export interface LspciDevice {
  /** '0000:00:01.0' */
  readonly address: string;
  /** What is behind the address: names, ids, revision. */
  readonly title: string;
  /** The lines below up to the capabilities, without the tab they begin with; what continues a line still begins with one. */
  readonly header: readonly string[];
  readonly capabilities: readonly LspciCapability[];
  /** The lines behind the capabilities: 'Kernel driver in use: nvme'. */
  readonly kernel: readonly string[];
}

export interface LspciCapability {
  /** '100 v2', or '40' */
  readonly place: string;
  /** What is behind the place. */
  readonly title: string;
  /** The lines below, without the two tabs that all begin with. */
  readonly lines: readonly string[];
}

/** All devices that lspci listed. */
export function parseLspci(output: string): LspciDevice[] {
  return output
    .split(/\n{2,}/)
    .filter((block) => block.trim() !== '')
    .map(parseDevice);
}

function parseDevice(block: string): LspciDevice {
  const [first = '', ...below] = block.split('\n').filter((line) => line !== '');
  const [, address = '', title = ''] = /^(\S+) (.*)$/.exec(first) ?? [];
  const header: string[] = [];
  const capabilities: { place: string; title: string; lines: string[] }[] = [];
  const kernel: string[] = [];
  for (const line of below) {
    const text = line.replace(/^\t/, '');
    const [, place, name] = /^Capabilities: \[([^\]]+)\] (.*)$/.exec(text) ?? [];
    if (place !== undefined && name !== undefined) capabilities.push({ place, title: name, lines: [] });
    else if (/^Kernel (driver|modules)/.test(text)) kernel.push(text);
    else if (text.startsWith('\t') && capabilities.length > 0) capabilities.at(-1)!.lines.push(text.slice(1));
    else header.push(text);
  }
  return { address, title, header, capabilities, kernel };
}
