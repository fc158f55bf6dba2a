import { setTimeout as delay } from 'node:timers/promises';
import { check, CodedError, KernelError } from '../../kernel/error.js';
import type { Files, FileStatus } from '../../kernel/kernel.js';
import { readTextIfAny } from '../../pci/sysfs.js';
import { Misuse } from '../exit.js';
import type { Undo } from './all-or-nothing.js';

/** Who is to open the nodes of a device. */
export interface Owner {
  readonly user: number;
  readonly group: number | undefined;
  /** As it was given: names, as a rule of udev takes them too. */
  readonly names: { readonly user: string; readonly group: string | undefined };
}

/** A node, and whose it is. */
export interface Owned {
  readonly path: string;
  readonly user: number;
  readonly group: number;
  readonly mode: number;
}

/** Since a driver has the device, the node is a moment away; udev comes to it some time after that. */
const waitMilliseconds = 2000;
const pollMilliseconds = 20;
const settleMilliseconds = 100;

/** 'alice', 'alice:kvm', '1000:1000'. @throws Misuse for somebody who is not there. */
export function parseOwner(files: Files, text: string): Owner {
  const [user = '', group, ...rest] = text.split(':');
  if (user === '' || group === '' || rest.length > 0) throw new Misuse(`Expected USER or USER:GROUP for --owner but received '${text}'`);
  return {
    user: numberOf(files, 'user', '/etc/passwd', user),
    group: group === undefined ? undefined : numberOf(files, 'group', '/etc/group', group),
    names: { user, group },
  };
}

function numberOf(files: Files, kind: string, file: string, name: string): number {
  if (/^\d+$/.test(name)) return Number(name);
  const rows = (readTextIfAny({ files }, file) ?? '').split('\n').map((line) => line.split(':'));
  const row = rows.find(([each]) => each === name);
  if (row === undefined) throw new Misuse(`Expected a ${kind} of the machine's ${file} or a number for --owner but received '${name}'`);
  return Number(row[2]);
}

/** Who may open it: the user, or with a group, both. */
export function modeFor({ group }: Owner): number {
  return group === undefined ? 0o600 : 0o660;
}

/** What the owner needs beside the nodes of devices, to open those by way of iommufd; undefined if nothing. */
export function iommufdNote(files: Files, { user, group, names }: Owner): string | undefined {
  const path = '/dev/iommu';
  const status = files.stat(path);
  if (typeof status === 'number' || user === 0 || (status.mode & 0o006) === 0o006) return undefined;
  if (status.user === user && (status.mode & 0o600) === 0o600) return undefined;
  if (status.group === group && (status.mode & 0o060) === 0o060) return undefined;
  const command =
    names.group === undefined
      ? `sudo setfacl -m u:${names.user}:rw ${path}`
      : `sudo chgrp ${names.group} ${path} && sudo chmod g+rw ${path}`;
  return `${path}, which is for all devices, is not for ${names.user} yet; where it is to be used: ${command}`;
}

/** Gives nodes to the owner, once they are there. */
export async function giveNodes(files: Files, nodes: readonly string[], owner: Owner, undo: Undo, signal: AbortSignal): Promise<Owned[]> {
  for (const node of nodes) {
    const before = await appeared(files, node, signal);
    undo.add(() => {
      const now = files.stat(node);
      // With the device's driver its node goes.
      if (typeof now === 'number' || (now.user === before.user && now.group === before.group && now.mode === before.mode)) return;
      setOwner(files, node, before.user, before.group, before.mode);
    });
    setOwner(files, node, owner.user, owner.group ?? -1, modeFor(owner));
  }
  await delay(settleMilliseconds, undefined, { signal });
  return nodes.map((node) => {
    if (!isOf(statusOf(files, node), owner)) setOwner(files, node, owner.user, owner.group ?? -1, modeFor(owner));
    const status = statusOf(files, node);
    if (!isOf(status, owner))
      throw new CodedError('ERR_VFIO_OWNER', `${node} does not stay with ${owner.names.user}: does a rule of udev say something else?`);
    return { path: node, user: status.user, group: status.group, mode: status.mode };
  });
}

async function appeared(files: Files, node: string, signal: AbortSignal): Promise<FileStatus> {
  for (let waited = 0; waited < waitMilliseconds && files.access(node) < 0; waited += pollMilliseconds)
    await delay(pollMilliseconds, undefined, { signal });
  return statusOf(files, node);
}

function statusOf(files: Files, node: string): FileStatus {
  const status = files.stat(node);
  if (typeof status === 'number') throw new KernelError(status, { syscall: 'stat', path: node });
  return status;
}

function isOf(status: FileStatus, owner: Owner): boolean {
  return status.user === owner.user && (owner.group ?? status.group) === status.group && status.mode === modeFor(owner);
}

function setOwner(files: Files, path: string, user: number, group: number, mode: number): void {
  check(files.chown(path, user, group), { syscall: 'chown', path });
  check(files.chmod(path, mode), { syscall: 'chmod', path });
}
