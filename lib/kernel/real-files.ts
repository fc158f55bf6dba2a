/** The files of the machine this runs on. It takes no addon to look at them. */
import {
  accessSync,
  chmodSync,
  chownSync,
  closeSync,
  constants,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  statSync,
  writeSync,
  type Stats,
} from 'node:fs';
import type { FileStatus, Files } from './kernel.js';

export const realFiles: Files = {
  readFile: (file) => answer(() => readFileSync(file)),
  writeFile: (file, bytes) =>
    answer(() => {
      // One write to a file that exists, as sysfs expects: neither created nor truncated.
      const fd = openSync(file, constants.O_WRONLY);
      try {
        return writeSync(fd, bytes);
      } finally {
        closeSync(fd);
      }
    }),
  readdir: (folder) => answer(() => readdirSync(folder).sort()),
  readlink: (link) => answer(() => readlinkSync(link)),
  access: (file) =>
    answer(() => {
      accessSync(file);
      return 0;
    }),
  stat: (file) => answer(() => status(statSync(file))),
  chmod: (file, mode) =>
    answer(() => {
      chmodSync(file, mode);
      return 0;
    }),
  chown: (file, user, group) =>
    answer(() => {
      chownSync(file, user, group);
      return 0;
    }),
};

function status(stats: Stats): FileStatus {
  const { mode, uid, gid, rdev } = stats;
  const node = stats.isCharacterDevice() || stats.isBlockDevice();
  return {
    kind: stats.isDirectory() ? 'folder' : stats.isCharacterDevice() ? 'character-device' : stats.isBlockDevice() ? 'block-device' : 'file',
    mode: mode & 0o7777,
    user: uid,
    group: gid,
    ...(node && { device: `${major(rdev)}:${minor(rdev)}` }),
  };
}

/** As Linux packs the two numbers of a device into one. */
function major(device: number): number {
  return (device >>> 8) & 0xfff;
}

function minor(device: number): number {
  return (device & 0xff) | ((device >>> 12) & 0xfff00);
}

/** What the call returns, or the negative errno of the system error it throws. Other errors are the caller's. */
function answer<T>(call: () => T): T | number {
  try {
    return call();
  } catch (error) {
    const { errno } = error as NodeJS.ErrnoException;
    if (typeof errno === 'number' && errno < 0) return errno;
    throw error;
  }
}
