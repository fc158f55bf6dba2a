import type { ContainerProvider } from '../../lib/sim/index.js';

/** What the name of a variant ends with where iommufd answers as /dev/vfio/vfio. */
export const byIommufd = (container: ContainerProvider): string => (container === 'iommufd' ? ', container by iommufd' : '');
