import { formatArgument, formatBytes, formatFlags, formatResult } from '../abi/format.js';
import type { KernelCall } from './around.js';

/** A call as far as it has been made. */
interface Told extends KernelCall {
  /** What an ioctl's argument points to, before the call and after it. */
  readonly before?: Uint8Array;
  readonly after?: Uint8Array;
  readonly result?: number;
}

/** The call in one line, and its result if there is one. */
export function describeCall(call: Told): string {
  const { name, fd, path, flags = 0, offset = 0, size = 0, bytes } = call;
  const moved = `${formatBytes(call.after ?? (name === 'write' || name === 'pwrite' ? bytes : undefined) ?? new Uint8Array())}, ${bytes?.byteLength}`;
  const parts: Record<KernelCall['name'], () => (string | number | undefined)[]> = {
    open: () => [JSON.stringify(path), formatFlags(flags, 'O_')],
    close: () => [fd],
    ioctl: () => [fd, call.request?.name ?? `0x${call.number?.toString(16)}`, argument(call)],
    read: () => [fd, moved],
    write: () => [fd, moved],
    pread: () => [fd, moved, `0x${offset.toString(16)}`],
    pwrite: () => [fd, moved, `0x${offset.toString(16)}`],
    mmap: () => [
      fd,
      `0x${size.toString(16)}`,
      formatFlags(call.protection ?? 0, 'PROT_'),
      formatFlags(flags, 'MAP_'),
      `0x${offset.toString(16)}`,
      call.node,
    ],
    madvise: () => [`0x${size.toString(16)}`, 'MADV_POPULATE_WRITE'],
    munmap: () => [`0x${size.toString(16)}`],
    memfd: () => [JSON.stringify(path), `0x${size.toString(16)}`, formatFlags(flags, 'MFD_')],
    eventfd: () => [call.initial, formatFlags(flags, 'EFD_')],
    watch: () => [fd],
    unwatch: () => [],
    readFile: () => [JSON.stringify(path)],
    writeFile: () => [JSON.stringify(path), JSON.stringify(Buffer.from(bytes ?? []).toString('latin1'))],
    readdir: () => [JSON.stringify(path)],
    readlink: () => [JSON.stringify(path)],
    access: () => [JSON.stringify(path)],
    stat: () => [JSON.stringify(path)],
    chmod: () => [JSON.stringify(path), `0${call.mode?.toString(8)}`],
    chown: () => [JSON.stringify(path), call.user, call.group],
  };
  const list = parts[name]().filter((part) => part !== undefined && part !== '');
  return `${name}(${list.join(', ')})${call.result === undefined ? '' : ` = ${formatResult(call.result)}`}`;
}

/** What was given, and what it became. */
function argument({ request, argument: given, before, after }: Told): string {
  if (before === undefined || after === undefined) return formatArgument(request, given);
  const [was, is] = [formatArgument(request, before), formatArgument(request, after)];
  return was === is ? was : `${was} => ${is}`;
}
