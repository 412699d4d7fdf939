import type { PeerModule } from './peer.js';

/** The compared systems, in the order of the tables. Each has a file of its name in this folder. */
export const PEERS = ['taskfleet', 'bullmq', 'bee-queue', 'pg-boss', 'graphile-worker', 'agenda', 'open-webui'] as const;
export type PeerName = (typeof PEERS)[number];

/** Loads one peer only: its packages are not needed for the others. */
export async function loadPeer(name: PeerName): Promise<PeerModule> {
  const url = new URL(`./${name}.js`, import.meta.url);
  return (await import(url.href)) as PeerModule;
}
