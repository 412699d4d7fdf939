import type { Settings } from '../../shared/settings/settings.js';
import type { TaskHandler, TaskModule } from '../../shared/task/handler.js';
import { fleetCanaryHandler } from './canary/handler.js';
import { chatCompletionHandler } from './chat/handler.js';
import { documentIndexHandler } from './documents/handler.js';

/** The handlers of all built-in tasks: a task module like any other. */
function builtinHandlers(settings: Settings): readonly TaskHandler[] {
  return [chatCompletionHandler(settings), documentIndexHandler(settings), fleetCanaryHandler];
}

export default builtinHandlers satisfies TaskModule;
