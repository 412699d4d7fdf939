/** The four kinds of work; each peer runs all of them by the same function, given by the worker process. */
export type WorkKind = 'noop' | 'sleep' | 'hold' | 'spin';

/** The payload of a job. */
export interface Work {
  readonly kind: WorkKind;
  /** Names the job in the reports of the worker process: a job may start before its enqueue has answered. */
  readonly key: string;
  /** How long a `sleep`, or a `hold` or `spin` that is not stopped, takes. */
  readonly ms: number;
  /** The file that a `spin` writes the time to. */
  readonly file: string;
}

/** Runs a job. Peers without a signal for each job pass {@link NEVER}. */
export type Run = (work: Work, signal: AbortSignal) => Promise<void>;

export const NEVER = new AbortController().signal;

export interface Servers {
  readonly redisUrl: string;
  readonly postgresUrl: string;
}

/** The queues of the benchmark, in peers that have queues: CPU-bound jobs need a handler of their own. */
export const QUEUES = { work: 'bench', spin: 'bench-spin' } as const;

/** The state in which the benchmark stops a job. A caller of a real service has to find it out, or not to care. */
export type StopState = 'waiting' | 'running';

/** One connection to the system of a peer, in the client's or the worker's process. */
export interface Peer {
  /** Resolves with the id of the job. */
  enqueueOne(work: Work): Promise<string>;
  /** Enqueues no-op jobs by the peer's bulk call. */
  enqueueMany(works: readonly Work[]): Promise<void>;
  /** Starts to run jobs; resolves once the worker listens. */
  work(run: Run, options: { readonly concurrency: number }): Promise<void>;
  /** Stops a job from another process by the usual recipe of the peer. Resolves with true if the answer says that the job has ended. */
  stop(id: string, state: StopState): Promise<boolean>;
  /** Whether another process would read that the job has ended, or no longer exists. */
  isSettled(id: string): Promise<boolean>;
  /** Counts the jobs that have not ended. */
  unfinished(): Promise<number>;
  close(): Promise<void>;
}

export const CAPABILITIES = ['bulk', 'process', 'latency', 'stopWaiting', 'stopRunning', 'stopCpu'] as const;
export type Capability = (typeof CAPABILITIES)[number];

/** How a peer does a job, or why it does not, with the source of the statement. */
export type Offer = { readonly how: string } | { readonly reason: string; readonly source: string };

export interface PeerInfo {
  readonly name: string;
  readonly title: string;
  /** The npm packages whose versions are reported; none for a protocol copied here. */
  readonly packages: readonly string[];
  readonly server: 'Redis' | 'PostgreSQL';
  /** The settings that differ from the defaults, in Markdown. */
  readonly settings: string;
  /** The page that recommends them. */
  readonly source: string;
  readonly capabilities: Readonly<Record<Capability, Offer>>;
  /** The shares of the single enqueues, and of the jobs in bulk and in the worker, that this peer gets: a slow peer must not fill the run. */
  readonly shares: { readonly calls: number; readonly jobs: number };
  /** How often a running job looks for a stop, if it does not wait for a signal: it is then stopped at a random moment of the interval. */
  readonly pollMs?: number;
  /** True if a job runs in the process that creates it. */
  readonly runsWhereCreated?: boolean;
}

/** What a file of this folder exports. */
export interface PeerModule {
  readonly info: PeerInfo;
  open(servers: Servers): Promise<Peer>;
}

export function isOffered(offer: Offer): offer is { readonly how: string } {
  return 'how' in offer;
}
