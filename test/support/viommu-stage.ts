/** A mock device, and a page table that a virtual IOMMU can be made on. */
import { IoasSeam } from './ioas-seam.js';
import { MockSeam, type MockDevice } from './mock/seam.js';
import { Seam } from './seam.js';
import type { Variant } from './subject.js';
import { ViommuSeam } from './viommu-seam.js';

export class ViommuStage {
  readonly seam: Seam;
  readonly calls: IoasSeam;
  readonly mocks: MockSeam;
  readonly viommus: ViommuSeam;
  readonly ioas: number;
  readonly device: MockDevice;
  readonly parent: number;

  constructor(variant: Variant) {
    const { kernel } = variant.make();
    this.seam = new Seam(kernel);
    const fd = this.seam.open('/dev/iommu');
    this.calls = new IoasSeam(kernel, fd);
    this.mocks = new MockSeam(kernel, fd);
    this.viommus = new ViommuSeam(kernel, fd);
    this.ioas = this.calls.alloc();
    this.device = this.mocks.device(this.ioas);
    this.parent = Number(this.viommus.table(this.device.device, this.ioas));
  }

  /** A virtual IOMMU of the mock's. */
  viommu(): number {
    return Number(this.viommus.alloc(this.device.device, this.parent));
  }

  close(): void {
    this.viommus.close();
    this.calls.close();
    this.seam.closeAll();
  }
}
