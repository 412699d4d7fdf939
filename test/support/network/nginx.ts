import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import type { TestContext } from 'node:test';
import { folderOf } from '../folder.js';
import { onFreePort } from '../process/ports.js';
import { NodeProcess } from '../process/processes.js';

const PATH = '/usr/sbin/nginx';
const TEMP_FOLDERS = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'];

/** The reason to skip tests with nginx, or false. In CI they are never skipped: without nginx they fail. */
export const noNginx: string | false =
  existsSync(PATH) || process.env['CI'] === 'true' ? false : `SKIPPED: no nginx at ${PATH}; on Debian: apt-get install nginx`;

/**
 * Runs nginx on loopback, as the user of the test and with files in a folder of its own. Ends with the test. Returns its origin.
 * @param server the directives of its only server
 */
export async function startNginx(t: TestContext, server: string): Promise<string> {
  return onFreePort(async (port) => {
    const folder = await folderOf(t, { 'nginx.conf': configOf(port, server) });
    const child = spawn(PATH, ['-p', folder, '-c', 'nginx.conf', '-e', 'stderr'], { detached: true, stdio: ['ignore', 'pipe', 'pipe'] });
    const nginx = new NodeProcess(child, 'nginx');
    t.after(() => nginx.stop());
    // Written once the port is bound, or could not be.
    const line = await nginx.waitForLine(/using the "epoll" event method|Address already in use/);
    return line[0].startsWith('using') ? `http://127.0.0.1:${port}` : null;
  });
}

function configOf(port: number, server: string): string {
  const temp = TEMP_FOLDERS.map((name) => `${name}_temp_path ${name};`).join(' ');
  // One process in the foreground.
  return `daemon off; master_process off; pid nginx.pid; error_log stderr notice;
events { worker_connections 256; }
http { access_log off; ${temp}
server { listen 127.0.0.1:${port};
${server}
} }
`;
}
