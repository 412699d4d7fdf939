import { type ChildProcess, spawn } from 'node:child_process';
import type { Writable } from 'node:stream';

/**
 * Kills the children of a test process when it ends, even by SIGKILL, which runs no exit handler. The reaper is a shell in a new
 * session that reads `add <id>`, `drop <id>` and `folder <path>` until the pipe closes; an id below 0 is a group. It removes a folder
 * twice if necessary: a process just killed may still make a file in it.
 */
const SCRIPT = `
live=' '
folders=''
while read -r verb id; do
  case $verb in
    add) live="$live$id " ;;
    drop) kept=' '; for each in $live; do [ "$each" = "$id" ] || kept="$kept$each "; done; live=$kept ;;
    folder) folders="$folders$id
" ;;
  esac
done
for id in $live; do kill -s KILL -- "$id" 2>/dev/null; done
printf '%s' "$folders" | while IFS= read -r folder; do
  rm -rf -- "$folder" 2>/dev/null || { sleep 1; rm -rf -- "$folder"; }
done
`;

let reaper: ChildProcess | null = null;

/** Kills a process, or with a negative id a process group, at the end of this process. */
export function reapAtExit(id: number): void {
  tell(`add ${id}`);
}

/** Forgets an id once its process has ended: the system may reuse the id. */
export function forget(id: number): void {
  tell(`drop ${id}`);
}

/** Removes a folder at the end of this process. */
export function removeAtExit(folder: string): void {
  tell(`folder ${folder}`);
}

function tell(line: string): void {
  reaper ??= startReaper();
  (reaper.stdin as Writable).write(`${line}\n`);
}

function startReaper(): ChildProcess {
  const child = spawn('sh', ['-c', SCRIPT], { detached: true, stdio: ['pipe', 'ignore', 'ignore'] });
  child.unref();
  // The pipe must not keep the test process alive either; the type of a stream lacks unref().
  (child.stdin as unknown as { unref(): void }).unref();
  return child;
}
