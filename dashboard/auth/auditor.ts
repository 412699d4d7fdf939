import type { Logger } from '../../shared/logger.js';
import { FleetError } from '../../shared/errors.js';
import type { Store } from '../../shared/store.js';
import { within } from '../within.js';
import type { Principal, Role } from './principal.js';

/** What a write was, and what became of it. */
export interface AuditEntry {
  /** A word for what was asked for: `task.stop`, `schedule.run`, `sign-in` … */
  readonly action: string;
  /** The task, item or schedule; null for none. */
  readonly target?: string | null;
  /** The item that it was about, null for none or if it is not known: by it, admins with item patterns find the entry. */
  readonly item?: string | null;
  /** The caller's own words; null for none. */
  readonly reason?: string | null;
  /** Allowed, with its result in a word or two (`cancelled`, `3 tasks`); or denied, with the code of the error. */
  readonly outcome: { readonly allowed: string } | { readonly denied: string };
}

/** A caller whose name is known, and whose role may not be: that of a JWT may mean nothing here. */
export type AuditName = Pick<Principal, 'name' | 'issuer' | 'via'> & { readonly role: Role | null };

/** Who asked, and how. */
export interface AuditCaller {
  readonly requestId: string | null;
  readonly address: string;
  /** Null for somebody who did not say, or not rightly. */
  readonly principal: AuditName | null;
}

const KEPT = 10_000;
const KEPT_DENIED = 2_000;
/** Of somebody unknown, each minute: who asks without a right to must not fill the log either. */
const ANONYMOUS_A_MINUTE = 60;
const LONGEST_TEXT = 500;
/** With a Redis that hangs, a request is to be answered within two seconds all the same. */
const LIMIT_MS = 250;

/** Keeps a record of every write, in a stream and in the log. */
export class Auditor {
  readonly #store: () => Store;
  readonly #logger: Logger;
  #minute = 0;
  #anonymous = 0;

  /** `store` is called with the first record. */
  constructor(store: () => Store, logger: Logger) {
    this.#store = store;
    this.#logger = logger;
  }

  /** Never rejects: what was done stays done, and the log line is there all the same. */
  async record(
    { principal, requestId, address }: AuditCaller,
    { action, target = null, item = null, reason = null, outcome }: AuditEntry,
  ): Promise<void> {
    const denied = 'denied' in outcome;
    if (principal === null && !this.#mayAdd()) return;
    const fields = {
      request_id: requestId,
      name: principal?.name ?? null,
      issuer: principal?.issuer ?? null,
      role: principal?.role ?? null,
      via: principal?.via ?? null,
      address,
      action: short(action),
      target: short(target),
      item,
      reason: short(reason),
      outcome: denied ? 'denied' : 'allowed',
      result: short(denied ? outcome.denied : outcome.allowed),
    };
    this.#logger[denied ? 'warn' : 'info'](fields, denied ? 'Write denied' : 'Write allowed');
    try {
      const { redis, keys, clock } = this.#store();
      const pairs = Object.entries({ at: String(clock.now()), ...fields }).flatMap(([name, value]) => [name, value ?? '']);
      const adding = redis.xadd(denied ? keys.auditDenied : keys.audit, 'MAXLEN', '~', denied ? KEPT_DENIED : KEPT, '*', ...pairs);
      await within(LIMIT_MS, adding, () => new FleetError('REDIS_UNAVAILABLE', `Redis did not answer within ${LIMIT_MS} ms.`));
    } catch (error) {
      this.#logger.error({ error, request_id: requestId }, 'A write could not be added to the audit; its log line is all there is');
    }
  }

  #mayAdd(): boolean {
    const minute = Math.floor(Date.now() / 60_000);
    if (minute !== this.#minute) {
      if (this.#anonymous > ANONYMOUS_A_MINUTE)
        this.#logger.warn({ count: this.#anonymous - ANONYMOUS_A_MINUTE }, 'More was denied than was recorded');
      this.#minute = minute;
      this.#anonymous = 0;
    }
    this.#anonymous += 1;
    return this.#anonymous <= ANONYMOUS_A_MINUTE;
  }
}

function short<Text extends string | null>(text: Text): Text {
  return (text !== null && text.length > LONGEST_TEXT ? `${text.slice(0, LONGEST_TEXT)}…` : text) as Text;
}
