import type { Settings } from '../../shared/settings.js';
import type { TaskHandler, TaskModule } from '../../shared/task/handler.js';
import { chatCompletionHandler } from './chat-completion.js';
import { documentIndexHandler } from './document-index.js';
import { fleetCanaryHandler } from './fleet-canary.js';

/** The handlers of all built-in tasks: a task module like any other. */
function builtinHandlers(settings: Settings): readonly TaskHandler[] {
  return [chatCompletionHandler(settings), documentIndexHandler(settings), fleetCanaryHandler];
}

export default builtinHandlers satisfies TaskModule;
