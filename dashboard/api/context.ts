import type { Producer } from '../../producer/index.js';
import type { Logger } from '../../shared/logger.js';
import type { Store } from '../../shared/store.js';
import type { KnownDefinitions } from './known-definitions.js';
import type { BodyLimits } from './read-body.js';
import type { EventStreams } from './stream/event-streams.js';

/** The routes' shared dependencies. */
export interface ApiContext {
  readonly producer: Producer;
  /** Returns the producer's store; first called with the first request. */
  readonly store: () => Store;
  readonly definitions: KnownDefinitions;
  readonly body: BodyLimits;
  readonly streams: EventStreams;
  readonly logger: Logger;
}
