import { KEY_PREFIX } from './stage.js';

/** What to try while the demo stays up, ready to be pasted into another terminal. */
export function hintsFor(redisUrl: string, dashboardUrl: string | null): string[] {
  return [
    '',
    'Everything stays up until you press Ctrl+C.',
    ...(dashboardUrl === null ? [] : [`In a browser on this machine: ${dashboardUrl}`]),
    'In another terminal, in this folder:',
    '',
    `  export REDIS_URL=${redisUrl} REDIS_KEY_PREFIX=${KEY_PREFIX}`,
    '  npx taskfleet task list --state cancelled',
    '  npx taskfleet task show chat-novel',
    '  npx taskfleet task enqueue chat.completion --id chat-mine --item chat:mine --input \\',
    `    '{"model":"demo-large","messages":[{"role":"user","content":"Ships?"}],"max_tokens":4000}'`,
    '  npx taskfleet task watch chat-mine &',
    '  npx taskfleet task stop --item chat:mine --reason "heard enough" --wait 5000',
  ];
}
