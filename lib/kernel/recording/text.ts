import { describeCall } from '../call-text.js';
import type { KernelCall } from '../around.js';
import { FileKinds } from '../file-kinds.js';
import { unpackBytes } from './bytes.js';
import { isCall, type CallEntry, type Entry } from './entries.js';

/** The calls' names that are others in a trace. */
const names: Readonly<Record<string, KernelCall['name']>> = { ioctlAsync: 'ioctl', watchCount: 'watch' };
const told: ReadonlySet<string> = new Set([
  ...['open', 'close', 'ioctl', 'read', 'write', 'pread', 'pwrite', 'mmap', 'memfd', 'eventfd', 'watch'],
  ...['readFile', 'writeFile', 'readdir', 'readlink', 'access', 'stat', 'chmod', 'chown'],
]);

/** What the fds are after these entries. */
export function kindsAfter(entries: readonly Entry[]): FileKinds {
  const kinds = new FileKinds();
  for (const entry of entries) if (isCall(entry)) noteKinds(kinds, entry);
  return kinds;
}

/** What the fds are after one more. */
export function noteKinds(kinds: FileKinds, { call, fd = -1, path = '', number, argument, answer, result = -1 }: CallEntry): void {
  if (call === 'close') kinds.closed(fd);
  if (result < 0) return;
  if (call === 'open') kinds.opened(path, result);
  if (call === 'memfd' || call === 'eventfd') kinds.add(result, call);
  const request = number === undefined ? undefined : kinds.request(fd, number);
  if (request !== undefined) kinds.answered(fd, request, unpacked(answer ?? argument), result);
}

/** A call in words, as a trace has it. */
export function describeEntry(entry: CallEntry, kinds: FileKinds): string {
  const name = names[entry.call] ?? entry.call;
  const { fd = -1, number, argument, given, size = 0 } = entry;
  if (!told.has(name)) {
    const { call, memory: _memory, ...rest } = entry;
    return `${call}(${Object.entries(rest)
      .map(([field, value]) => `${field}=${typeof value === 'string' ? value : JSON.stringify(value)}`)
      .join(', ')})`;
  }
  const request = number === undefined ? undefined : kinds.request(fd, number);
  const before = unpacked(argument);
  const bytes = given === undefined ? new Uint8Array(size) : unpackBytes(given);
  const { argument: _argument, watch: _watch, mapping: _mapping, request: _request, ...rest } = entry;
  return describeCall({
    ...rest,
    name: name as KernelCall['name'],
    ...(request && { request }),
    ...(before !== undefined && { argument: before }),
    bytes,
  });
}

function unpacked(argument: number | string | undefined): number | Uint8Array | undefined {
  return typeof argument === 'string' ? unpackBytes(argument) : argument;
}
