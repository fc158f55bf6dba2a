/** The nodes in /dev: whether they are there, are the right ones, and whose they are. */
import { errno } from '../abi/errno.js';
import { groupNode, type PciDevice } from '../pci/topology.js';
import type { Checks } from './check.js';
import type { Found } from './finding.js';
import { folderOf, line, reason, type Scene } from './scene.js';

const container = '/dev/vfio/vfio';
const iommu = '/dev/iommu';

/** What devices are opened through beside their own nodes, each with the file that has its numbers. */
const shared = [
  { node: container, numbers: '/sys/class/misc/vfio/dev' },
  { node: iommu, numbers: '/sys/class/misc/iommu/dev' },
];

interface Node {
  readonly node: string;
  /** Where the kernel has its numbers. */
  readonly numbers: string;
  readonly device?: string;
}

function nodesOf(device: PciDevice): Node[] {
  const group = groupNode(device);
  const name = device.node?.split('/').at(-1);
  return [
    ...(group === undefined ? [] : [{ node: group, numbers: `/sys/class/vfio/${group.split('/').at(-1)}/dev`, device: device.address }]),
    ...(device.node === undefined
      ? []
      : [{ node: device.node, numbers: `${folderOf(device.address)}/vfio-dev/${name}/dev`, device: device.address }]),
  ];
}

/** A kernel that was built without groups has no node of one, and one that has no number for a node has not the node. */
function allNodes(scene: Scene): Node[] {
  const all = [...shared, ...scene.vfioDevices.flatMap((device) => nodesOf(device))];
  return all.filter(({ numbers }) => scene.find(numbers) !== undefined);
}

/** Devices of one group have its node in common. */
function* each(scene: Scene): Iterable<Node & { numbersThere: string | undefined; expected: string }> {
  const seen = new Set<string>();
  for (const node of allNodes(scene)) {
    if (seen.has(node.node)) continue;
    seen.add(node.node);
    yield { ...node, expected: scene.text(node.numbers), numbersThere: scene.status(node.node)?.device };
  }
}

function* missing(scene: Scene): Iterable<Found> {
  for (const { node, numbers, expected, device } of each(scene))
    if (!scene.exists(node))
      yield {
        severity: 'failure',
        ...(device !== undefined && { device }),
        evidence: [line(node, undefined), line(numbers, expected)],
        fix: [
          `sudo mkdir -p ${node.slice(0, node.lastIndexOf('/'))} && sudo mknod -m 600 ${node} c ${expected.replace(':', ' ')}`,
          `# In a container, start it with the node: docker run --device ${node}`,
        ],
      };
}

function* stale(scene: Scene): Iterable<Found> {
  for (const { node, numbers, expected, numbersThere, device } of each(scene))
    if (scene.exists(node) && numbersThere !== expected)
      yield {
        severity: 'failure',
        ...(device !== undefined && { device }),
        evidence: [line(node, numbersThere ?? 'not a device'), line(numbers, expected)],
        fix: [`sudo rm ${node} && sudo mknod -m 600 ${node} c ${expected.replace(':', ' ')}`],
      };
}

/** Whether the mode of a node lets this process read and write it; a node that is not there is another matter. */
function accessible(scene: Scene, node: string): boolean | undefined {
  const status = scene.status(node);
  if (status === undefined) return undefined;
  const { process } = scene;
  if (process.has('CAP_DAC_OVERRIDE')) return true;
  const place = process.user === status.user ? 6 : process.groups.includes(status.group) ? 3 : 0;
  return ((status.mode >> place) & 6) === 6;
}

function owner(scene: Scene, node: string) {
  const { mode = 0, user, group } = scene.status(node) ?? {};
  return line(node, `mode ${mode.toString(8).padStart(4, '0')}, user ${user}, group ${group}`);
}

function* access(scene: Scene): Iterable<Found> {
  for (const device of scene.vfioDevices) {
    const nodes = nodesOf(device).map(({ node }) => node);
    const closed = nodes.filter((node) => accessible(scene, node) === false);
    if (closed.length === 0) continue;
    yield {
      // One way in is enough.
      severity: nodes.some((node) => accessible(scene, node) === true) ? 'note' : 'failure',
      device: device.address,
      evidence: [...closed.map((node) => owner(scene, node)), line('/proc/self/status', String(scene.process))],
      fix: [
        `sudo chown "$USER" ${closed.join(' ')}`,
        `# and for good: echo 'SUBSYSTEM=="vfio", OWNER="'"$USER"'"' | sudo tee /etc/udev/rules.d/90-vfio.rules && sudo udevadm control --reload`,
      ],
    };
  }
}

function* sharedAccess(scene: Scene): Iterable<Found> {
  const all = shared.filter(({ node }) => scene.exists(node));
  const closed = all.filter(({ node }) => accessible(scene, node) === false);
  const containerClosed = closed.some(({ node }) => node === container);
  // /dev/iommu is root's by itself: where the container is open to all, there is a way.
  if (closed.length === 0 || (!containerClosed && !scene.curious)) return;
  yield {
    severity: closed.length === all.length ? 'failure' : 'note',
    evidence: [...closed.map(({ node }) => owner(scene, node)), line('/proc/self/status', String(scene.process))],
    fix: closed.map(({ node }) => (node === container ? `sudo chmod 666 ${node}` : `sudo chown "$USER" ${node}`)),
  };
}

/** What keeps a process from opening a node that its mode lets it open: reading one does not work, but opens it first. */
function* controlGroup(scene: Scene): Iterable<Found> {
  const answer = scene.kernel.files.readFile(container);
  if (answer !== -errno.EPERM || accessible(scene, container) !== true) return;
  yield {
    severity: 'failure',
    evidence: [line(container, reason(answer)), line('/proc/self/cgroup', scene.find('/proc/self/cgroup'))],
    fix: [
      '# Start the container with the nodes, not with a volume: docker run --device /dev/vfio/vfio --device /dev/vfio/GROUP',
      '# In a unit of systemd: DeviceAllow=char-vfio rw',
    ],
  };
}

export const nodeChecks = {
  'node-access': access,
  'container-node': sharedAccess,
  'missing-node': missing,
  'stale-node': stale,
  'container-cgroup': controlGroup,
} satisfies Checks;
