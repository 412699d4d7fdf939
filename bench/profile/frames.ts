import type { Profiler } from 'node:inspector';

/** A function in the stack, with its callees. Times are in µs per job. */
export interface Frame {
  readonly name: string;
  readonly module: string;
  self: number;
  total: number;
  readonly callees: Map<string, Frame>;
}

/** Frames that are no work of the process. */
const IDLE: ReadonlySet<string> = new Set(['(idle)', '(root)']);

/** Merges the samples of a profile into frames by function, without idle time and the work of the profiler. Returns the root. */
export function framesOf({ nodes, samples = [], timeDeltas = [] }: Profiler.Profile, jobs: number): Frame {
  const timeOf = new Map<number, number>();
  for (const [index, id] of samples.entries()) timeOf.set(id, (timeOf.get(id) ?? 0) + (timeDeltas[index] ?? 0) / jobs);
  const byId = new Map(nodes.map((node) => [node.id, node]));
  const root = newFrame('all', '');
  const add = ({ id, callFrame: { functionName, url }, children = [] }: Profiler.ProfileNode, caller: Frame): number => {
    if (url === 'node:inspector') return 0;
    const module = moduleOf(functionName, url);
    const name = functionName || '(anonymous)';
    const frame = IDLE.has(name) ? caller : calleeOf(caller, name, module);
    const self = name === '(idle)' ? 0 : (timeOf.get(id) ?? 0);
    frame.self += self;
    let total = self;
    for (const child of children) total += add(byId.get(child) as Profiler.ProfileNode, frame);
    if (frame !== caller) frame.total += total;
    return total;
  };
  root.total = add(nodes[0] as Profiler.ProfileNode, root);
  return root;
}

function newFrame(name: string, module: string): Frame {
  return { name, module, self: 0, total: 0, callees: new Map() };
}

function calleeOf(caller: Frame, name: string, module: string): Frame {
  const key = `${module} ${name}`;
  const frame = caller.callees.get(key) ?? newFrame(name, module);
  caller.callees.set(key, frame);
  return frame;
}

/** `ours`, a package, `node`, `gc` or `bench`. */
function moduleOf(functionName: string, url: string): string {
  if (functionName === '(garbage collector)') return 'gc';
  const [, inPackages] = url.split(/.*\/node_modules\//);
  if (inPackages !== undefined) return /^(?:@[^/]+\/)?[^/]+/.exec(inPackages)?.[0] ?? 'node';
  if (url.includes('/dist/')) return 'ours';
  return url === '' || url.startsWith('node:') ? 'node' : 'bench';
}

/** Returns the lines of a table: self time by module, then by function, of at least 0.3 µs per job. */
export function tableOf(root: Frame): string[] {
  const modules = new Map<string, number>();
  const functions = new Map<string, number>();
  const visit = (frame: Frame): void => {
    modules.set(frame.module, (modules.get(frame.module) ?? 0) + frame.self);
    const key = `${frame.module.padEnd(14)}${frame.name}`;
    functions.set(key, (functions.get(key) ?? 0) + frame.self);
    for (const callee of frame.callees.values()) visit(callee);
  };
  visit(root);
  const lines = (times: ReadonlyMap<string, number>, least: number): string[] =>
    [...times]
      .filter(([, time]) => time > least)
      .toSorted(([, a], [, b]) => b - a)
      .map(([name, time]) => `${time.toFixed(2).padStart(8)}  ${name}`);
  return [`${root.total.toFixed(2).padStart(8)}  µs per job, self time:`, ...lines(modules, 0), '', ...lines(functions, 0.3)];
}
