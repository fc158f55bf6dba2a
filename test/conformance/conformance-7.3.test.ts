import { conformance } from './conformance.js';

conformance('7.3');
