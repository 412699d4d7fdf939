import type { Sample } from '../sampler.js';

export const MIB = 2 ** 20;

/** Measurements of a made-up run, as functions of the time in minutes. */
export interface SampleRun {
  readonly rss?: (minute: number) => number;
  readonly connections?: (minute: number) => number;
  readonly memory?: (minute: number) => number;
  readonly clients?: (minute: number) => number;
  readonly keys?: (minute: number) => number;
  readonly live?: (minute: number) => number;
  readonly calm?: (minute: number) => boolean;
  /** The pid of `worker 2`; a changed pid means another process. */
  readonly pid?: (minute: number) => number;
}

/** Returns the samples of a run of 20 minutes, one every 5 s, constant unless given. */
export function sampleRun(run: SampleRun = {}): Sample[] {
  const {
    rss = () => 120 * MIB,
    connections = () => 7,
    memory = () => 5 * MIB,
    clients = () => 25,
    keys = () => 1_000,
    live = () => 13,
    calm = () => true,
    pid = () => 3,
  } = run;
  return Array.from({ length: 241 }, (_, index) => {
    const minute = index / 12;
    return {
      atMs: index * 5_000,
      calm: calm(minute),
      processes: [
        { place: 'producer', pid: 1, rss: 110 * MIB, connections: 2 },
        { place: 'worker 1', pid: 2, rss: rss(minute), connections: connections(minute) },
        { place: 'worker 2', pid: pid(minute), rss: 120 * MIB, connections: 7 },
      ],
      redis: {
        memory: memory(minute),
        clients: clients(minute),
        keys: keys(minute),
        live: live(minute),
        registry: 3 * live(minute),
        kept: keys(minute) - 50,
      },
    };
  });
}
