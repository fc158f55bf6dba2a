/** Which processes have nodes of VFIO open. */
import type { PciDevice } from '../pci/topology.js';
import type { Checks } from './check.js';
import { CannotLook, type Found } from './finding.js';
import { groupNode } from './nodes.js';
import { line, type Scene } from './scene.js';

interface Holder {
  readonly process: string;
  readonly node: string;
  /** The link in procfs that says so. */
  readonly file: string;
}

interface Open {
  readonly holders: readonly Holder[];
  /** The files of some processes may not be looked at. */
  readonly partial: boolean;
}

const looked = new WeakMap<Scene, Open>();

/** All that processes have open of VFIO, this one too: what it forgot is in its own way. */
function openNodes(scene: Scene): Open {
  const known = looked.get(scene);
  if (known !== undefined) return known;
  const holders: Holder[] = [];
  let partial = false;
  for (const process of processes(scene)) {
    const folder = `/proc/${process}/fd`;
    const files = scene.kernel.files.readdir(folder);
    if (typeof files === 'number') {
      // Those that ended meanwhile have nothing open.
      partial ||= scene.exists(`/proc/${process}`);
      continue;
    }
    for (const fd of files) {
      const node = scene.kernel.files.readlink(`${folder}/${fd}`);
      if (typeof node === 'string' && node.startsWith('/dev/vfio/')) holders.push({ process, node, file: `${folder}/${fd}` });
    }
  }
  const open = { holders, partial };
  looked.set(scene, open);
  return open;
}

/** `self` is a link to one of the others; where it is none, nothing more is known of the process. */
function processes(scene: Scene): string[] {
  const all = scene.names('/proc').filter((name) => /^\d+$/.test(name));
  return scene.linkName('/proc/self') === undefined ? [...all, 'self'] : all;
}

export function holdersOf(scene: Scene, device: PciDevice): readonly Holder[] {
  const nodes = [groupNode(device), device.node];
  return openNodes(scene).holders.filter(({ node }) => nodes.includes(node));
}

function* holders(scene: Scene): Iterable<Found> {
  if (scene.asked === undefined && !scene.curious) return;
  for (const device of scene.vfioDevices) {
    const found = holdersOf(scene, device);
    if (found.length > 0)
      yield {
        severity: 'warning',
        device: device.address,
        evidence: found.flatMap(({ process, node, file }) => [
          line(file, node),
          line(`/proc/${process}/cmdline`, commandOf(scene, process)),
        ]),
        fix: [...new Set(found.map(({ process }) => fixOf(scene, process)))],
      };
    else if (openNodes(scene).partial) throw new CannotLook("needs root to look at other users' processes in /proc");
  }
}

function fixOf(scene: Scene, process: string): string {
  const own = process === 'self' || process === scene.linkName('/proc/self');
  return own ? '# This process has it: close what it opened before' : `sudo kill ${process}`;
}

function commandOf(scene: Scene, process: string): string | undefined {
  return scene.find(`/proc/${process}/cmdline`)?.replaceAll('\0', ' ').trim();
}

export const holderChecks = { holder: holders } satisfies Checks;
