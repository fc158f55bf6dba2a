/** Memory for devices: how much may be locked, and of which pages it can be. */
import type { Checks } from './check.js';
import type { Found } from './finding.js';
import { line, type Scene } from './scene.js';

/** What a driver of a fast device takes for its queues and buffers. */
const enoughLocked = 64 << 20;

function* lockedMemory(scene: Scene): Iterable<Found> {
  const { process } = scene;
  if (process.has('CAP_IPC_LOCK') || process.lockedMemory >= enoughLocked) return;
  yield {
    severity: 'warning',
    evidence: [
      line('/proc/self/limits', `Max locked memory ${process.lockedMemory} bytes`),
      line('/proc/self/status', 'CapEff without cap_ipc_lock'),
    ],
    fix: [
      `echo "$USER - memlock unlimited" | sudo tee /etc/security/limits.d/vfio.conf   # and log in again`,
      '# In a unit of systemd: LimitMEMLOCK=infinity. In a container: docker run --ulimit memlock=-1',
    ],
  };
}

const pages = '/sys/kernel/mm/hugepages';

/** None is usual, and no fault unless they are needed: without an IOMMU, or where all that were set aside are gone. */
function* hugePages(scene: Scene): Iterable<Found> {
  const sizes = scene.names(pages);
  const count = (size: string, what: string): number => Number(scene.find(`${pages}/${size}/${what}_hugepages`) ?? 0);
  const reserved = sizes.some((size) => count(size, 'nr') > 0);
  const needed = reserved || scene.vfioDevices.some(({ noIommu }) => noIommu);
  if (sizes.some((size) => count(size, 'free') > 0) || !(needed || scene.curious)) return;
  const size = sizes.includes('hugepages-2048kB') ? 'hugepages-2048kB' : (sizes[0] ?? 'hugepages-2048kB');
  yield {
    severity: reserved || needed ? 'warning' : 'note',
    evidence: sizes.map((each) => line(`${pages}/${each}`, `${count(each, 'nr')} reserved, ${count(each, 'free')} free`)),
    fix: [`echo ${count(size, 'nr') + 512} | sudo tee ${pages}/${size}/nr_hugepages`],
  };
}

export const memoryChecks = { memlock: lockedMemory, hugepages: hugePages } satisfies Checks;
