import { readFile, readdir } from 'node:fs/promises';
import { join, resolve } from 'node:path';

export const root = resolve(import.meta.dirname, '../../..');

/** Returns the paths, from the root, of every Markdown file that people read: the top ones, and all of docs/ and examples/. */
export async function markdownFiles(): Promise<string[]> {
  const files = (await readdir(root)).filter((name) => name.endsWith('.md'));
  for (const folder of ['docs', 'examples']) {
    const names = await readdir(join(root, folder), { recursive: true }).catch(() => []);
    files.push(...names.filter((name) => name.endsWith('.md') && !name.includes('node_modules')).map((name) => `${folder}/${name}`));
  }
  return files.toSorted();
}

/** Returns the text of a page without its fenced code, so that code that looks like Markdown is not read as such. */
export async function proseOf(path: string): Promise<string> {
  const text = await readFile(join(root, path), 'utf8');
  return text.replaceAll(/^( *)```.*?^\1```/gms, (block) => block.replaceAll(/[^\n]/g, ''));
}

/** Returns the anchors of a page's headings as GitHub builds them. */
export function anchorsOf(prose: string): Set<string> {
  const anchors = new Set<string>();
  for (const [, heading = ''] of prose.matchAll(/^#{1,6} +(.+?)(?: +#+)?$/gm)) {
    const text = heading.replaceAll(/!?\[([^\]]*)\]\([^)]*\)/g, '$1').toLowerCase();
    const slug = text.replaceAll(/[^\p{L}\p{M}\p{N}\p{Pc} -]/gu, '').replaceAll(' ', '-');
    let unique = slug;
    for (let n = 1; anchors.has(unique); n += 1) unique = `${slug}-${n}`;
    anchors.add(unique);
  }
  return anchors;
}

/** Returns the targets of a page's links and images. */
export function linksOf(prose: string): string[] {
  const plain = prose.replaceAll(/(`+)[^`].*?\1/gs, '');
  const inline = [...plain.matchAll(/\]\(\s*<?([^)\s>]+)>?[^)]*\)/g)].map((match) => match[1] as string);
  const references = [...plain.matchAll(/^ *\[[^\]]+\]: +(\S+)/gm)].map((match) => match[1] as string);
  const html = [...plain.matchAll(/<(?:a|img)\b[^>]*?\b(?:href|src)="([^"]+)"/g)].map((match) => match[1] as string);
  return [...inline, ...references, ...html];
}
