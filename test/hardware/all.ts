/** For a machine with devices that nobody here wrote, and a kernel with drivers of its own for them. */
import './network-card.js';
import './nvme.js';
