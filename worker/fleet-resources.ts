import type { LoggerFactory } from '../shared/logger.js';
import type { ConnectedSettings, Store } from '../shared/store.js';

/** What the handlers of the fleet's own tasks work with. */
export interface FleetResources {
  /** Over the worker's own connection. */
  readonly store: Store;
  readonly settings: ConnectedSettings;
  readonly loggers: LoggerFactory;
}
