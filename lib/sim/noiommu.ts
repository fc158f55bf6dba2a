import { errno } from '../abi/errno.js';
import { VFIO_NOIOMMU_IOMMU } from '../abi/vfio/container.js';
import type { IommuDriver, IommuDriverKind } from './iommu-driver.js';

/** The driver for groups without an IOMMU: it maps nothing, and devices reach what they like by physical address. */
export function noiommuKind(platform: { readonly unsafeNoIommu: boolean; readonly rawIo: boolean }): IommuDriverKind {
  const checkExtension = (extension: number): number => (platform.unsafeNoIommu && extension === VFIO_NOIOMMU_IOMMU ? 1 : 0);
  const driver: IommuDriver = {
    checkExtension,
    attach: () => 0,
    detach: () => {},
    ioctl: () => -errno.ENOTTY,
    at: () => undefined,
    release: () => {},
  };
  return { forNoIommu: true, checkExtension, open: () => (platform.rawIo ? driver : -errno.EPERM) };
}
