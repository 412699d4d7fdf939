import type { Producer } from '../../producer/index.js';
import type { Logger } from '../../shared/logger.js';
import type { Store } from '../../shared/store.js';
import type { KnownDefinitions } from './known-definitions.js';
import type { BodyLimits } from './read-body.js';
import type { EventStreams } from './stream/event-streams.js';

/** What the routes work with. */
export interface ApiContext {
  readonly producer: Producer;
  /** What the producer works over: asked for with the first request, not before. */
  readonly store: () => Store;
  readonly definitions: KnownDefinitions;
  readonly body: BodyLimits;
  readonly streams: EventStreams;
  readonly logger: Logger;
}
