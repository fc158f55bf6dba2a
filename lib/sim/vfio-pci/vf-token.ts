/** What a virtual function's user must know of the physical function's. The rules are those of vfio_pci_core.c. */
import { errno } from '../../abi/errno.js';
import { VFIO_DEVICE_FEATURE_SET } from '../../abi/vfio/feature.js';
import type { FeatureRequest } from '../features.js';

const uuidSize = 16;
const option = 'vf_token=';
const uuid = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}/i;

/** The token of a physical function that vfio-pci has. Nobody can ask for it. */
export class VfToken {
  #token: string = crypto.randomUUID();
  /** Virtual functions that are open. */
  users = 0;

  set(request: FeatureRequest): number {
    const checked = request.check(VFIO_DEVICE_FEATURE_SET, uuidSize);
    if (checked !== 1) return checked;
    const bytes = request.bytes(0, uuidSize);
    if (bytes === undefined) return -errno.EFAULT;
    this.#token = [...bytes].map((byte) => byte.toString(16).padStart(2, '0')).join('');
    return 0;
  }

  matches(token: string): boolean {
    return plain(token) === plain(this.#token);
  }

  replace(token: string): void {
    this.#token = token;
  }
}

function plain(token: string): string {
  return token.replaceAll('-', '').toLowerCase();
}

/** Which functions have tokens: of the device itself where it is a physical one, of the physical one where it is virtual. */
export interface TokenHolders {
  readonly own: VfToken | undefined;
  /** `token` is undefined while the physical function has another driver. */
  readonly physical: { readonly token: VfToken | undefined } | undefined;
}

/** vfio_pci_core_match: whether the text names the device, with a token where one is due. 1, 0 or -errno. */
export function matchName(name: string, text: string, { own, physical }: TokenHolders): number {
  if (!text.startsWith(name)) return 0;
  const rest = text.slice(name.length);
  if (rest !== '' && !rest.startsWith(' ')) return 0;
  let token: string | undefined;
  for (let left = rest.trimStart(); left !== ''; left = left.trimStart()) {
    const given = left.startsWith(option) && token === undefined ? uuid.exec(left.slice(option.length)) : null;
    if (given === null) return -errno.EINVAL;
    token = given[0];
    left = left.slice(option.length + token.length);
  }
  return admitToken(token, { own, physical });
}

/** vfio_pci_validate_vf_token: 1 or -errno. */
export function admitToken(token: string | undefined, { own, physical }: TokenHolders): number {
  if (physical !== undefined) {
    if (physical.token === undefined) return token === undefined ? 1 : -errno.EINVAL;
    return token !== undefined && physical.token.matches(token) ? 1 : -errno.EACCES;
  }
  if (own === undefined) return token === undefined ? 1 : -errno.EINVAL;
  if (own.users > 0) return token !== undefined && own.matches(token) ? 1 : -errno.EACCES;
  if (token !== undefined) own.replace(token);
  return 1;
}
