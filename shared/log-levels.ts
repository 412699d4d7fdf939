import { z } from 'zod';

/** The parts of the fleet that log, each with a level of its own: `WORKER_LOG_LEVEL=debug`. */
export const COMPONENTS = [
  'billing',
  'cleanup',
  'cli',
  'dashboard',
  'models',
  'producer',
  'redis',
  'schedule',
  'stop',
  'task',
  'worker',
] as const;
export type Component = (typeof COMPONENTS)[number];

export const LOG_LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

/** Names of Python's logging that differ from ours. NOTSET lets every line through. */
const PYTHON_LEVELS: Readonly<Record<string, LogLevel>> = { warning: 'warn', critical: 'fatal', notset: 'trace' };

/** A level of ours or of Python's, in upper or lower case. */
export const levelSchema = z
  .string()
  .transform((text) => text.trim().toLowerCase())
  .transform((name) => (Object.hasOwn(PYTHON_LEVELS, name) ? PYTHON_LEVELS[name] : name))
  .pipe(z.enum(LOG_LEVELS));

export const EXPECTED_LEVEL = `one of ${LOG_LEVELS.join(', ')}, or a level of Python (WARNING, CRITICAL, NOTSET)`;

/**
 * open-webui's SRC_LOG_LEVELS: by variable, the components of ours that do the same work. Without a component a level
 * is checked and has no effect. `MODELS_LOG_LEVEL` is not listed: it is the variable of a component of that name.
 */
export const OPEN_WEBUI_LEVELS: Readonly<Record<string, readonly Component[]>> = {
  MAIN_LOG_LEVEL: ['dashboard', 'stop', 'worker'],
  OPENAI_LOG_LEVEL: ['models'],
  RAG_LOG_LEVEL: ['task'],
  SOCKET_LOG_LEVEL: ['cleanup'],
  AUDIO_LOG_LEVEL: [],
  COMFYUI_LOG_LEVEL: [],
  CONFIG_LOG_LEVEL: [],
  DB_LOG_LEVEL: [],
  FILTER_LOG_LEVEL: [],
  IMAGES_LOG_LEVEL: [],
  OAUTH_LOG_LEVEL: [],
  OLLAMA_LOG_LEVEL: [],
  WEBHOOK_LOG_LEVEL: [],
};

export function levelVariable(component: Component): string {
  return `${component.toUpperCase()}_LOG_LEVEL`;
}

/** The variables that may set the level of a component, the first one that is set counts. */
export function levelVariables(component: Component): readonly string[] {
  const foreign = Object.entries(OPEN_WEBUI_LEVELS).flatMap(([variable, components]) => (components.includes(component) ? [variable] : []));
  return [levelVariable(component), ...foreign];
}
