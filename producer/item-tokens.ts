import { optionsOf } from '../shared/arguments.js';
import { type IssuedItemToken, type ItemTokenOptions, issueItemToken, revokeItemToken } from '../shared/records/item-token.js';
import type { Store } from '../shared/store.js';
import type { Caller } from './calls.js';

const ISSUER = { name: 'service', origin: 'producer' } as const;

/**
 * Short-lived tokens for certain items, for a service that has authenticated a user and lets the user's browser follow and stop tasks
 * over the API of any dashboard of this fleet.
 */
export class ItemTokens {
  constructor(
    private readonly store: Store,
    private readonly call: Caller,
  ) {}

  /**
   * Issues a token. It cannot be read back: Redis stores its hash.
   * @throws FleetError `INVALID_ITEM`, `INVALID_OPTION`; `REDIS_UNAVAILABLE`
   */
  issue(options: ItemTokenOptions): Promise<IssuedItemToken> {
    return this.call(() => issueItemToken(this.store, ISSUER, optionsOf(options) as ItemTokenOptions));
  }

  /** Revokes a token by its id: open event streams of its bearer end within a second. Returns false if there is no such token. */
  revoke(id: string): Promise<boolean> {
    return this.call(() => revokeItemToken(this.store, id));
  }
}
