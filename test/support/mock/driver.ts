/** The mock's driver, by identity. */
export const driver = { name: 'iommufd_mock' };
