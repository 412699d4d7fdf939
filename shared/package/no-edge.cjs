'use strict';

/** Stands for the doors that need Node.js, in runtimes that lack it (the conditions edge-light and workerd of package.json). */
function refuse() {
  throw new Error(
    'taskfleet/producer, /worker, /dashboard and /testing need Node.js: they open TCP connections to Redis. ' +
      "Run this code on Node.js (in Next.js: runtime = 'nodejs'), or use taskfleet/client, which calls the HTTP API of a dashboard.",
  );
}

// Assigned, so that bundlers cannot know the exports: a missing export would be their error instead.
module.exports = refuse();
