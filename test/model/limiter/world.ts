import { randomUUID } from 'node:crypto';
import type { Limiter } from '../../../shared/limiter/limiter.js';
import { PARKED_AT } from '../../../shared/limiter/parked-jobs.js';
import type { WhenBusy } from '../../../shared/limiter/policy.js';
import type { Standing } from '../../../shared/limiter/standing.js';
import type { LimiterArena } from './arena.js';
import { Entrant } from './entrant.js';
import { Inspector } from './inspector.js';
import { type Needs, QUEUE, stepsOf } from './needs.js';

export interface EnqueueChoice {
  readonly needs: Needs;
  readonly priority: number;
  readonly whenBusy: WhenBusy;
  /** Whether the task is a child of a running one. */
  readonly below: boolean;
  /** Steps of the producer before the next command. */
  readonly steps: number;
}

const RETRY_MS = 5;

/** One run: performs the steps of producers and workers around the limiter, with real jobs and without handlers. */
export class LimiterWorld {
  readonly entrants: Entrant[] = [];
  readonly inspector: Inspector;
  /** The answer to the next call is lost, and the call is repeated. */
  repeats = false;
  /** Releases that a slow process has yet to send, while its task may already run elsewhere. */
  readonly late: { readonly entrant: Entrant; readonly run: string }[] = [];
  #runs = 0;

  constructor(readonly arena: LimiterArena) {
    this.inspector = new Inspector(arena, this.entrants);
  }

  get limiter(): Limiter {
    return this.arena.store.limiter;
  }

  get live(): Entrant[] {
    return this.entrants.filter(({ phase }) => phase !== 'ended');
  }

  at(...phases: readonly Entrant['phase'][]): Entrant[] {
    return this.entrants.filter(({ phase }) => phases.includes(phase));
  }

  byId(id: string): Entrant | undefined {
    return this.entrants.find((entrant) => entrant.id === id);
  }

  note(text: string): void {
    this.inspector.note(text);
  }

  async enqueue({ needs, priority, whenBusy, below, steps }: EnqueueChoice, pick: number): Promise<void> {
    const parents = this.at('running');
    const parent = below ? parents[pick % Math.max(1, parents.length)] : undefined;
    const label = `t${this.entrants.length}`;
    const limited = {
      ...{ id: `${label}-${randomUUID().slice(0, 8)}`, queue: QUEUE, name: 'lines.task', priority, steps: stepsOf(needs) },
      ...(parent && { ancestors: [parent.id, ...(parent.limited.ancestors ?? [])] }),
    };
    const entrant = new Entrant(label, limited, whenBusy);
    this.entrants.push(entrant);
    await this.arena.redis.hset(this.arena.store.keys.taskQueues, limited.id, QUEUE);
    for (let n = 0; n < steps && entrant.phase !== 'queued'; n += 1) await this.goOn(entrant);
  }

  /** Performs the next step of the process that handles a task. */
  async goOn(entrant: Entrant): Promise<void> {
    switch (entrant.phase) {
      case 'registered':
        return this.#admit(entrant);
      case 'adding':
        return this.#add(entrant);
      case 'added':
        await this.#twice(() => this.limiter.recheck([entrant.id]));
        entrant.phase = 'queued';
        return;
      case 'fetched':
        return this.#start(entrant);
      case 'parking':
        return this.#park(entrant);
      case 'releasing':
        await this.#twice(() => this.limiter.release([entrant.id], entrant.run));
        entrant.phase = entrant.isOver ? 'ended' : 'queued';
        return;
      case 'queued':
      case 'running':
      case 'ended':
        return;
    }
  }

  /** Performs a call; and once more if its answer is lost. */
  async #twice<Answer>(call: () => Promise<Answer>): Promise<Answer> {
    const first = await call();
    if (!this.repeats) return first;
    this.repeats = false;
    this.note('(repeated)');
    return call();
  }

  async #admit(entrant: Entrant): Promise<void> {
    const admission = await this.#twice(() => this.limiter.admit(entrant.limited, entrant.whenBusy));
    this.inspector.admitted(entrant, admission);
    if (!('rivals' in admission)) {
      await this.#unregister(entrant);
      entrant.phase = 'ended';
      return;
    }
    entrant.standing = admission;
    entrant.phase = 'adding';
    for (const id of admission.rivals) {
      const rival = this.byId(id);
      if (rival) await this.stop(rival);
    }
  }

  async #add(entrant: Entrant): Promise<void> {
    const { id, priority, name } = entrant.limited;
    const delay = Math.max(0, dueOf(entrant.standing as Standing) - Date.now());
    await this.arena.store.queues.get(QUEUE).add(name, {}, { jobId: id, delay, priority });
    entrant.phase = entrant.standing?.kind === 'line' ? 'added' : 'queued';
  }

  /** A worker fetches the next job. */
  async fetch(): Promise<Entrant | null> {
    const run = `run-${(this.#runs += 1)}`;
    const job = await this.arena.fetch(run);
    const entrant = job && this.byId(job.id as string);
    if (!job || !entrant) return null;
    if (entrant.phase === 'releasing') this.late.push({ entrant, run: entrant.run });
    Object.assign(entrant, { job, run, phase: 'fetched' });
    this.note(`${entrant.label} is fetched`);
    return entrant;
  }

  async #start(entrant: Entrant): Promise<void> {
    const standing = await this.#twice(() => this.limiter.start({ ...entrant.limited, run: entrant.run }));
    this.note(`${entrant.label} at its start: ${standing.kind}`);
    entrant.standing = standing;
    entrant.phase = standing.kind === 'go' ? 'running' : 'parking';
    if (standing.kind === 'go') entrant.hasRun = true;
  }

  async #park(entrant: Entrant): Promise<void> {
    await entrant.job?.moveToDelayed(dueOf(entrant.standing as Standing), entrant.run);
    entrant.job = null;
    entrant.phase = entrant.standing?.kind === 'line' ? 'added' : 'queued';
  }

  /** Ends a run: for good, for a retry, or for another run of the same attempt, which keeps its places. */
  async end(entrant: Entrant, how: 'completes' | 'retries' | 'requeues'): Promise<void> {
    const { job } = entrant;
    if (!job) return;
    this.note(`${entrant.label} ${how}`);
    entrant.job = null;
    if (how === 'requeues') {
      await job.moveToWait(entrant.run);
      entrant.phase = 'queued';
      return;
    }
    if (how === 'retries') await job.moveToDelayed(Date.now() + RETRY_MS, entrant.run);
    else await this.#finish(entrant, () => job.moveToCompleted(null, entrant.run, false));
    entrant.phase = 'releasing';
  }

  /** Stops a task: settles it if nobody has its job, else ends its run. */
  async stop(entrant: Entrant): Promise<void> {
    if (entrant.phase === 'running') return this.end(entrant, 'completes');
    if (entrant.phase !== 'queued') return;
    this.note(`${entrant.label} is stopped`);
    entrant.run = '';
    await this.#finish(entrant, () => this.arena.store.queues.get(QUEUE).remove(entrant.id));
    entrant.phase = 'releasing';
  }

  /** The process that handles a task dies. */
  async die(entrant: Entrant): Promise<void> {
    this.note(`the process of ${entrant.label} dies while ${entrant.phase}`);
    switch (entrant.phase) {
      case 'registered':
      case 'adding':
        // The reconciler removes a registered task without a job.
        await this.#unregister(entrant);
        entrant.phase = 'ended';
        return;
      case 'fetched':
      case 'parking':
      case 'running':
        this.late.push({ entrant, run: entrant.run });
        await this.arena.expireLock(entrant.id);
        entrant.job = null;
        entrant.phase = 'queued';
        return;
      case 'added':
      case 'releasing':
        entrant.phase = entrant.isOver ? 'ended' : 'queued';
        return;
      case 'queued':
      case 'ended':
        return;
    }
  }

  async releaseLate(): Promise<void> {
    const [release] = this.late.splice(0, 1);
    if (!release) return;
    this.note(`a dead process releases ${release.entrant.label}`);
    await this.limiter.release([release.entrant.id], release.run);
  }

  async #finish(entrant: Entrant, end: () => Promise<unknown>): Promise<void> {
    await end();
    await this.#unregister(entrant);
    entrant.isOver = true;
  }

  async #unregister({ id }: Entrant): Promise<void> {
    await this.arena.redis.hdel(this.arena.store.keys.taskQueues, id);
  }

  /** The duty of every worker; repairs what is old enough, which here is everything if `late`. */
  async tend(late: boolean): Promise<void> {
    const { redis, start } = this.arena;
    await redis.del(`${start}tended`);
    const admitted = late ? await redis.zrange(`${start}admitted`, '0', '-1') : [];
    for (const id of admitted) await redis.zadd(`${start}admitted`, 'XX', Date.now() - 60_000, id);
    await this.limiter.tend({ graceMs: late ? 0 : 60_000 });
  }

  /** The reconciler's part: parked jobs without a record are admitted again, and those that are not in line moved on. */
  async readmit(): Promise<void> {
    const parked = (await this.arena.parked()).map((id) => this.byId(id)).filter((entrant) => entrant?.phase === 'queued') as Entrant[];
    const records = await this.limiter.records(parked.map(({ id }) => id));
    for (const { id, label, limited } of parked) {
      if (records.has(id)) continue;
      this.note(`${label} is admitted again`);
      await this.limiter.admit(limited);
    }
    await this.limiter.recheck(parked.map(({ id }) => id));
  }

  async set(id: string, limit: number | null): Promise<void> {
    await this.limiter.set(id, limit);
    if (limit === null) this.arena.set.delete(id);
    else this.arena.set.set(id, limit);
  }

  /** Deletes a record or a key, as an operator or another program might. */
  async lose(key: string, member: string | null): Promise<void> {
    const { redis, start } = this.arena;
    this.inspector.isDamaged = true;
    for (const entrant of this.live) entrant.isForgotten = true;
    await (member === null ? redis.del(start + key) : redis.hdel(start + key, member));
  }
}

function dueOf(standing: Standing): number {
  if (standing.kind === 'line') return PARKED_AT;
  return standing.kind === 'at' ? standing.at : 0;
}
