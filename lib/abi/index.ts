/**
 * The kernel's headers as data.
 *
 * @module vfio/abi
 */
export * from './chain.js';
export * from './errno.js';
export * from './format.js';
export * from './headers.js';
export * from './history.js';
export * from './ioctl.js';
export * from './requests.js';
export * from './struct.js';
