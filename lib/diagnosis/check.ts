import type { MatterId } from '../kernel/matters.js';
import type { Found } from './finding.js';
import type { Scene } from './scene.js';

/** Looks at one matter, and changes nothing. @throws CannotLook */
export type Look = (scene: Scene) => Iterable<Found>;

/** Checks of one area, by the names of their matters. */
export type Checks = Readonly<Partial<Record<MatterId, Look>>>;
