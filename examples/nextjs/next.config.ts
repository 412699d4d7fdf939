import type { NextConfig } from 'next';

/** Where `npm run dashboard` listens. Read by `next build`. */
const DASHBOARD = process.env.DASHBOARD_URL ?? 'http://127.0.0.1:8420';

const config: NextConfig = {
  // Loaded by Node.js as it is, rather than bundled into each route.
  serverExternalPackages: ['taskfleet'],
  // The pages of the dashboard have relative links, so /fleet/ needs its slash.
  skipTrailingSlashRedirect: true,
  rewrites: async () => [
    { source: '/fleet', destination: `${DASHBOARD}/` },
    { source: '/fleet/:path*', destination: `${DASHBOARD}/:path*` },
  ],
};

export default config;
