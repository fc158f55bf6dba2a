/**
 * The kernel versions that brought a name into linux/vfio.h or took it out, for names that not every header has.
 * Held against the headers of each kernel the tests know: a wrong version here fails them.
 */
export const introduced: Readonly<Record<string, string>> = {
  VFIO_DEVICE_FLAGS_CDX: '6.4',
  VFIO_DEVICE_INFO_CAP_PCI_ATOMIC_COMP: '6.5',
  VFIO_PCI_ATOMIC_COMP32: '6.5',
  VFIO_PCI_ATOMIC_COMP64: '6.5',
  VFIO_PCI_ATOMIC_COMP128: '6.5',
  vfio_device_info_cap_pci_atomic_comp: '6.5',
};

export const removed: Readonly<Record<string, string>> = {
  VFIO_TYPE1_NESTING_IOMMU: '6.13',
};
