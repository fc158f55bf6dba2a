import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';

/** What the lab needs of Debian: a file that shows the package is there, and the package. */
interface Requirement {
  readonly file: string;
  readonly package: string;
}

const toBoot: readonly Requirement[] = [
  { file: 'qemu-system-x86_64', package: 'qemu-system-x86' },
  { file: '/usr/share/doc/busybox-static', package: 'busybox-static' },
  { file: 'cpio', package: 'cpio' },
];

const toBuild: readonly Requirement[] = [
  { file: 'apt-get', package: 'apt' },
  { file: 'dpkg-deb', package: 'dpkg' },
  { file: 'gcc', package: 'gcc' },
  { file: 'make', package: 'make' },
  { file: 'flex', package: 'flex' },
  { file: 'bison', package: 'bison' },
  { file: 'bc', package: 'bc' },
  { file: 'xz', package: 'xz-utils' },
  { file: '/usr/include/stdio.h', package: 'libc6-dev' },
  { file: '/usr/include/libelf.h', package: 'libelf-dev' },
  { file: '/usr/include/openssl/ssl.h', package: 'libssl-dev' },
];

/** @throws Error that names every missing package in lines that can be pasted. */
export function requireToBoot(): void {
  requireAll(toBoot, 'boot a guest');
}

export function requireToBuild(): void {
  requireAll([...toBuild, ...toBoot], 'build a kernel');
}

function requireAll(requirements: readonly Requirement[], purpose: string): void {
  const missing = missingPackages(requirements, present);
  if (missing.length > 0)
    throw new Error(
      `To ${purpose}, packages are missing. Install them with:\n  sudo apt-get update\n  sudo apt-get install --no-install-recommends ${missing.join(' ')}`,
    );
}

export function missingPackages(requirements: readonly Requirement[], isPresent: (file: string) => boolean): string[] {
  return requirements.filter(({ file }) => !isPresent(file)).map((requirement) => requirement.package);
}

function present(file: string): boolean {
  // The administrator's folders are not in every user's path.
  const folders = [...(process.env['PATH'] ?? '').split(delimiter), '/usr/sbin', '/sbin'];
  const candidates = file.startsWith('/') ? [file] : folders.map((folder) => join(folder, file));
  return candidates.some((candidate) => {
    try {
      accessSync(candidate, file.startsWith('/') ? constants.R_OK : constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}
