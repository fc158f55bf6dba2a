/** `vfio/abi`: the kernel's headers as data. */
export * from './chain.js';
export * from './errno.js';
export * from './format.js';
export * from './headers.js';
export * from './history.js';
export * from './ioctl.js';
export * from './requests.js';
export * from './struct.js';
