import type { LoggerFactory } from '../../shared/log/logger.js';
import type { ConnectedSettings, Store } from '../../shared/store.js';

/** The resources of the built-in handlers. */
export interface FleetResources {
  /** Uses the worker's connection. */
  readonly store: Store;
  readonly settings: ConnectedSettings;
  readonly loggers: LoggerFactory;
}
