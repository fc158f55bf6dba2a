/** For the lab, which has a real kernel of some version: the others have nothing to ask there. */
import './conformance-6.1.test.js';
import './conformance-6.12.test.js';
import './conformance-7.3.test.js';
