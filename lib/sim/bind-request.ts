/** VFIO_DEVICE_BIND_IOMMUFD as the kernel takes it from its caller, on any fd of a device. */
import { errno } from '../abi/errno.js';
import { VFIO_DEVICE_BIND_FLAG_TOKEN, VFIO_DEVICE_BIND_IOMMUFD, vfio_device_bind_iommufd } from '../abi/vfio/cdev.js';
import type { Argument } from './argument.js';
import type { KernelProfile } from './profile.js';
import type { VfioDevice } from './vfio-device.js';

type Bind = ReturnType<typeof vfio_device_bind_iommufd.create>;

const { size: full } = vfio_device_bind_iommufd;
const uuidSize = 16;

/** The request, or -errno. */
export function takeBind(argument: Argument, { bindsWithToken }: KernelProfile): Bind | number {
  const { minimum } = VFIO_DEVICE_BIND_IOMMUFD;
  const word = argument.copyFrom(4);
  if (word === undefined) return -errno.EFAULT;
  const given = new DataView(word.buffer).getUint32(0, true);
  if (given < minimum) return argument.copyFrom(bindsWithToken ? 4 : minimum) === undefined ? -errno.EFAULT : -errno.EINVAL;
  const known = bindsWithToken ? Math.min(given, full) : minimum;
  if (bindsWithToken && given > full) {
    const tail = argument.copyFrom(given - full, full);
    if (tail === undefined) return -errno.EFAULT;
    if (tail.some((byte) => byte !== 0)) return -errno.E2BIG;
  }
  const bind = argument.struct(vfio_device_bind_iommufd, known);
  if (bind === undefined) return -errno.EFAULT;
  const flags = bindsWithToken ? VFIO_DEVICE_BIND_FLAG_TOKEN : 0;
  return bind.iommufd < 0 || (bind.flags & ~flags) !== 0 ? -errno.EINVAL : bind;
}

/** vfio_df_check_token: 0 or -errno. Kernels that know no token ask for none. */
export function checkToken(bind: Bind, device: VfioDevice, argument: Argument): number {
  if (!device.kernel.bindsWithToken) return 0;
  if ((bind.flags & VFIO_DEVICE_BIND_FLAG_TOKEN) === 0) return device.admit(undefined);
  if (!device.asksForTokens) return -errno.EINVAL;
  const bytes = argument.readAt(bind.token_uuid_ptr, uuidSize);
  if (bytes === undefined) return -errno.EFAULT;
  return device.admit([...bytes].map((byte) => byte.toString(16).padStart(2, '0')).join(''));
}
