import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { closeSync, linkSync, readFileSync, readdirSync, renameSync, rmSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, describe, it } from 'node:test';
import { DocumentTree } from '../../../../worker/builtin/documents/document-tree.js';
import { folderOf } from '../../../support/folder.js';

const BY_DESCRIPTOR = process.platform === 'linux';

for (const byDescriptor of BY_DESCRIPTOR ? [true, false] : [false]) {
  describe(`A document tree read ${byDescriptor ? 'by descriptors' : 'by paths'}`, () => {
    function openTree(t: TestContext, root: string): DocumentTree {
      const tree = new DocumentTree(root, byDescriptor);
      t.after(() => tree.close());
      return tree;
    }

    function textOf(tree: DocumentTree, ...names: string[]): string | null {
      const fd = tree.open(names);
      if (fd === null) return null;
      const text = readFileSync(fd, 'utf8');
      closeSync(fd);
      return text;
    }

    it('lists folders and files, and other entries without entering them', async (t) => {
      const root = await folderOf(t, { 'a/b/c.md': 'deep', 'd.md': 'flat' });
      symlinkSync(join(root, 'a'), join(root, 'link'));
      execFileSync('mkfifo', [join(root, 'pipe.md')]);
      const tree = openTree(t, root);
      assert.deepEqual(
        new Set([...(tree.list([]) ?? [])].map(({ name, kind }) => `${name} ${kind}`)),
        new Set(['a folder', 'd.md file', 'link link', 'pipe.md other']),
      );
      assert.deepEqual([textOf(tree, 'a', 'b', 'c.md'), textOf(tree, 'd.md')], ['deep', 'flat']);
      for (const names of [['a'], ['link', 'b', 'c.md'], ['pipe.md'], ['none'], ['d.md', 'x'], []])
        assert.equal(tree.open(names), null, names.join('/'));
      for (const names of [['link'], ['d.md'], ['pipe.md'], ['none']]) assert.equal(tree.list(names), null, names.join('/'));
    });

    it('is not left if a folder is replaced by a link, at any moment', async (t) => {
      const outside = await folderOf(t, { 'b/c.md': 'secret', 'c.md': 'secret' });
      const files = { 'a/b/c.md': 'ours', 'd/e.md': 'x' };
      const moments: ((tree: DocumentTree) => void)[] = [
        () => undefined,
        (tree) => tree.hasFolder(['a']),
        (tree) => tree.hasFolder(['a', 'b']),
        (tree) => tree.hasFolder(['d']),
        (tree) => [...(tree.list(['a', 'b']) ?? [])],
      ];
      for (const look of moments) {
        for (const [folder, target] of [
          ['a', '.'],
          ['a/b', '.'],
        ] as const) {
          const root = await folderOf(t, files);
          const tree = openTree(t, root);
          look(tree);
          renameSync(join(root, folder), join(root, 'moved'));
          symlinkSync(join(outside, target), join(root, folder));
          assert.notEqual(textOf(tree, 'a', 'b', 'c.md'), 'secret');
          assert.equal(textOf(tree, 'd', 'e.md'), 'x');
          assert.equal(textOf(tree, 'a', 'b', 'c.md'), null, 'it is gone once it is looked at anew');
        }
      }
    });

    it('is not left if a file is replaced by a link; a hard link is read as a file', async (t) => {
      const outside = await folderOf(t, { 'secret.md': 'secret' });
      const root = await folderOf(t, { 'a.md': 'ours', 'b.md': 'ours' });
      const tree = openTree(t, root);
      assert.equal(textOf(tree, 'a.md'), 'ours');
      rmSync(join(root, 'a.md'));
      symlinkSync(join(outside, 'secret.md'), join(root, 'a.md'));
      rmSync(join(root, 'b.md'));
      execFileSync('mkfifo', [join(root, 'b.md')]);
      assert.deepEqual([textOf(tree, 'a.md'), textOf(tree, 'b.md')], [null, null]);
      linkSync(join(outside, 'secret.md'), join(root, 'c.md'));
      assert.equal(textOf(tree, 'c.md'), 'secret');
    });

    it('leaves no descriptor open', { skip: !BY_DESCRIPTOR }, async (t) => {
      const root = await folderOf(t, { 'a/b/c/d.md': 'x', 'a/e.md': 'x' });
      symlinkSync(root, join(root, 'link'));
      const before = readdirSync('/proc/self/fd').length;
      const tree = new DocumentTree(root, byDescriptor);
      for (const names of [['a', 'b', 'c', 'd.md'], ['a', 'e.md'], ['link', 'a'], ['none'], ['a', 'b']]) {
        textOf(tree, ...names);
        for (const _ of tree.list(names) ?? []) break;
      }
      tree.close();
      assert.equal(readdirSync('/proc/self/fd').length, before);
      assert.throws(() => new DocumentTree(join(root, 'none'), byDescriptor), /is not a folder/);
    });
  });
}
