/** `vfio/abi`: the kernel's headers as data. */
export * from './chain.js';
export * from './errno.js';
export * from './history.js';
export * from './ioctl.js';

export * from './requests.js';
export * from './struct.js';
export * from './system.js';
export * from './vfio/ccw.js';
export * from './vfio/cdev.js';
export * from './vfio/container.js';
export * from './vfio/device.js';
export * from './vfio/dma-logging.js';
export * from './vfio/feature.js';
export * from './vfio/gfx.js';
export * from './vfio/group.js';
export * from './vfio/ioeventfd.js';
export * from './vfio/irq.js';
export * from './vfio/migration.js';
export * from './vfio/region.js';
export * from './vfio/reset.js';
export * from './vfio/spapr.js';
export * from './vfio/type1.js';
export * from './vfio/zdev.js';
export * from './pci.js';
