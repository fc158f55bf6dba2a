/**
 * Debian's kernel sources, by apt with a state of its own: no source of the system is changed and nobody needs to be
 * root. Debian's ordinary key signs both suites.
 */
import { execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { compareVersions } from './kernel-options.js';
import { step } from './steps.js';

const sources = [
  // Long-term kernels, 6.12 among them, and the newest.
  ['http://deb.debian.org/debian-security', 'bookworm-security'],
  ['http://deb.debian.org/debian', 'trixie-backports'],
] as const;
const key = '/usr/share/keyrings/debian-archive-keyring.gpg';

export class Archive {
  readonly #folder: string;
  readonly #log: string;
  readonly #options: readonly string[];

  /** `folder` holds apt's lists; `log` what it prints. */
  constructor(folder: string, log: string) {
    this.#folder = folder;
    this.#log = log;
    const list = join(folder, 'sources.list');
    const empty = join(folder, 'empty');
    for (const needed of [join(folder, 'lists', 'partial'), join(folder, 'archives', 'partial'), empty])
      mkdirSync(needed, { recursive: true });
    writeFileSync(list, sources.map(([mirror, suite]) => `deb [signed-by=${key}] ${mirror} ${suite} main\n`).join(''));
    this.#options = [
      `Dir::Etc::SourceList=${list}`,
      `Dir::Etc::SourceParts=${empty}`,
      `Dir::State::Lists=${join(folder, 'lists')}`,
      `Dir::Cache=${folder}`,
      'Acquire::Languages=none',
      'APT::Sandbox::User=',
    ].flatMap((option) => ['-o', option]);
  }

  /** The kernel versions whose source there is, oldest first: ['6.1', '6.12', '7.3']. */
  async versions(): Promise<string[]> {
    await step("reading Debian's package lists", 'apt-get', [...this.#options, 'update'], { cwd: this.#folder, log: this.#log });
    const found = execFileSync('apt-cache', [...this.#options, 'search', '--names-only', '^linux-source-[0-9]'], { encoding: 'utf8' });
    return [...found.matchAll(/^linux-source-([0-9.]+) /gm)].map(([, version]) => version ?? '').sort(compareVersions);
  }

  /** Downloads a version's source into `folder`; returns the package file. */
  async download(version: string, folder: string): Promise<string> {
    await step(`downloading the source of Linux ${version}`, 'apt-get', [...this.#options, 'download', `linux-source-${version}`], {
      cwd: folder,
      log: this.#log,
    });
    const file = readdirSync(folder).find((name) => name.startsWith(`linux-source-${version}_`));
    if (file === undefined) throw new Error(`apt-get downloaded no linux-source-${version}; see ${this.#log}`);
    return join(folder, file);
  }
}
