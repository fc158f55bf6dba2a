/** IOMMU_GET_HW_INFO. The order of checks is that of the kernel's device.c. */
import { errno } from '../../abi/errno.js';
import {
  IOMMU_GET_HW_INFO,
  IOMMU_HW_CAP_DIRTY_TRACKING,
  IOMMU_HW_CAP_PCI_ATS_NOT_SUPPORTED,
  IOMMU_HW_INFO_FLAG_INPUT_TYPE,
  IOMMU_HW_INFO_TYPE_DEFAULT,
  iommu_hw_info,
} from '../../abi/iommufd/hwpt.js';
import { BoundDevice } from './device.js';
import { operation } from './operation.js';

export const hardwareInformation = operation(IOMMU_GET_HW_INFO, iommu_hw_info, ({ objects, platform }, asked, caller) => {
  const { choosesHardwareInformation, tellsMissingAts } = platform.kernel.iommufd;
  if ((asked.flags & ~(choosesHardwareInformation ? IOMMU_HW_INFO_FLAG_INPUT_TYPE : 0)) !== 0) return -errno.EOPNOTSUPP;
  if (asked.__reserved.some((byte) => byte !== 0)) return -errno.EOPNOTSUPP;
  const device = objects.find(asked.dev_id, BoundDevice);
  if (device === undefined) return -errno.ENOENT;
  const { iommu } = device;
  const information = iommu.hardwareInformation(asked.flags === 0 ? IOMMU_HW_INFO_TYPE_DEFAULT : asked.in_data_type);
  if (typeof information === 'number') return information;
  const { type, data } = information;
  const answer = new Uint8Array(asked.data_len);
  answer.set(data.subarray(0, asked.data_len));
  if (answer.byteLength > 0 && !caller.argument.writeAt(asked.data_uptr, answer)) return -errno.EFAULT;
  const capabilities =
    (iommu.tracksDirtyPages ? IOMMU_HW_CAP_DIRTY_TRACKING : 0) |
    (tellsMissingAts && !iommu.translatesForDevice ? IOMMU_HW_CAP_PCI_ATS_NOT_SUPPORTED : 0);
  Object.assign(asked, {
    out_data_type: type,
    data_len: data.byteLength,
    out_capabilities: BigInt(capabilities),
    out_max_pasid_log2: iommu.maxPasidLog2,
  });
  return caller.respond();
});
