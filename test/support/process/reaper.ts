import { type ChildProcess, spawn } from 'node:child_process';
import type { Writable } from 'node:stream';

/**
 * Kills what a test process has started when that process ends, however it ends: a SIGKILL runs no exit handler. It is a
 * shell in a session of its own that reads `add <id>`, `drop <id>` and `folder <path>` until the pipe closes; an id below
 * 0 is a group. A folder is removed twice if need be: what has just been killed may still make a file in it.
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

/** Has a process, or with a negative id a process group, killed at the end of this process. */
export function reapAtExit(id: number): void {
  tell(`add ${id}`);
}

/** Takes an id back, once its process has ended: the system may give the id to another. */
export function forget(id: number): void {
  tell(`drop ${id}`);
}

/** Has a folder removed at the end of this process, if it is still there. */
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
  // The pipe must not keep the test process alive either; that it has an unref() is not in the type of a stream.
  (child.stdin as unknown as { unref(): void }).unref();
  return child;
}
