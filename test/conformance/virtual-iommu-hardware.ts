/** What the IOMMUs of QEMU answer when they are asked for virtual ones: they have none. */
import { afterEach, beforeEach, expect, it } from 'vitest';
import { IOMMU_VIOMMU_TYPE_ARM_SMMUV3, IOMMU_VIOMMU_TYPE_DEFAULT } from '../../lib/abi/iommufd/viommu.js';
import { Cdev, findDevice, Iommufd, type Ioas } from '../../lib/index.js';
import type { Fields } from '../support/ioas-seam.js';
import type { Subject, Variant } from '../support/subject.js';
import { ViommuSeam } from '../support/viommu-seam.js';

export function virtualIommuHardware(variant: Variant): void {
  let subject: Subject;
  let iommufd: Iommufd;
  let device: Cdev;
  let ioas: Ioas;
  let viommus: ViommuSeam;

  beforeEach(() => {
    subject = variant.make();
    iommufd = Iommufd.open(subject.kernel);
    device = Cdev.open(iommufd, findDevice(subject.kernel, subject.edu.address));
    ioas = iommufd.createIoas();
    viommus = new ViommuSeam(subject.kernel, iommufd.fd);
  });
  afterEach(() => {
    viommus.close();
    iommufd.close();
  });

  const alloc = (fields: Fields = {}): string => viommus.alloc(device.id, 99, { type: IOMMU_VIOMMU_TYPE_ARM_SMMUV3, ...fields });

  it('none can be made of it', () => {
    const table = device.attach(ioas);
    const answers = [alloc(), alloc({ hwpt_id: table }), alloc({ type: IOMMU_VIOMMU_TYPE_DEFAULT }), alloc({ dev_id: ioas.id })];
    const refused = 'EOPNOTSUPP';
    if (subject.version !== '7.3') expect(answers).toEqual(['ENOTTY', 'ENOTTY', 'ENOTTY', 'ENOTTY']);
    else expect(answers).toEqual([refused, refused, refused, 'ENOENT']);
    device.detach();
  });
}
