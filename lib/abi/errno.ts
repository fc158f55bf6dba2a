/** Linux's error numbers, the same on every machine this runs on, with the text strerror(3) gives. */
const table = [
  ['EPERM', 1, 'operation not permitted'],
  ['ENOENT', 2, 'no such file or directory'],
  ['EINTR', 4, 'interrupted system call'],
  ['EIO', 5, 'input/output error'],
  ['ENXIO', 6, 'no such device or address'],
  ['E2BIG', 7, 'argument list too long'],
  ['EBADF', 9, 'bad file descriptor'],
  ['EAGAIN', 11, 'resource temporarily unavailable'],
  ['ENOMEM', 12, 'cannot allocate memory'],
  ['EACCES', 13, 'permission denied'],
  ['EFAULT', 14, 'bad address'],
  ['EBUSY', 16, 'device or resource busy'],
  ['EEXIST', 17, 'file exists'],
  ['ENODEV', 19, 'no such device'],
  ['ENOTDIR', 20, 'not a directory'],
  ['EISDIR', 21, 'is a directory'],
  ['EINVAL', 22, 'invalid argument'],
  ['ENFILE', 23, 'too many open files in system'],
  ['EMFILE', 24, 'too many open files'],
  ['ENOTTY', 25, 'inappropriate ioctl for device'],
  ['ENOSPC', 28, 'no space left on device'],
  ['ESPIPE', 29, 'illegal seek'],
  ['EROFS', 30, 'read-only file system'],
  ['EPIPE', 32, 'broken pipe'],
  ['ERANGE', 34, 'numerical result out of range'],
  ['EDEADLK', 35, 'resource deadlock avoided'],
  ['ENAMETOOLONG', 36, 'file name too long'],
  ['ENOSYS', 38, 'function not implemented'],
  ['ELOOP', 40, 'too many levels of symbolic links'],
  ['ENOMSG', 42, 'no message of desired type'],
  ['EBADE', 52, 'invalid exchange'],
  ['EOVERFLOW', 75, 'value too large for defined data type'],
  ['EBADFD', 77, 'file descriptor in bad state'],
  ['EUSERS', 87, 'too many users'],
  ['EMSGSIZE', 90, 'message too long'],
  ['EOPNOTSUPP', 95, 'operation not supported'],
  ['EADDRINUSE', 98, 'address already in use'],
  ['ETIMEDOUT', 110, 'connection timed out'],
] as const;

/** The name of an error number. @useDeclaredType */
export type ErrorCode = (typeof table)[number][0];

/** Error numbers by name: `errno.EBUSY` is 16. */
export const errno = Object.fromEntries(table.map(([code, number]) => [code, number])) as Readonly<Record<ErrorCode, number>>;

/** Name and text of an error number; one that is not in the table is named by its number. */
export function describeErrno(number: number): { code: string; text: string } {
  const row = table.find((candidate) => candidate[1] === number);
  return row === undefined ? { code: `E${number}`, text: `error ${number}` } : { code: row[0], text: row[2] };
}
