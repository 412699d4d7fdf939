/** A sandboxed processor of BullMQ: runs in a child process. */
import type { SandboxedJob } from 'bullmq';
import type { Work } from '../peer.js';
import { spin } from './spin.mjs';

export default function process(job: SandboxedJob<Work>): Promise<void> {
  spin(job.data.file, job.data.ms);
  return Promise.resolve();
}
