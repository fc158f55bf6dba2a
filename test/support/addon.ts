/** Without the addon many tests can only fail, each in words of its own: then none of them begins. */
import { native } from '../../lib/kernel/native.js';

/** @throws Error with the commands that build it. */
export default function setup(): void {
  if (process.platform === 'linux') native();
}
