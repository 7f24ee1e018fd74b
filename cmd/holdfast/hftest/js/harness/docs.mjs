// Blocks of the documentation, as printed, and programs that they are.

import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Events, PATIENCE, within } from './events.mjs';

export const ROOT = fileURLToPath(new URL('../../../../../', import.meta.url));

// block is the first fenced block of a language, in a file of the repository, that
// holds a text.
export function block(path, language, holding) {
  const text = readFileSync(join(ROOT, path), 'utf8');
  for (const [, body] of text.matchAll(new RegExp('^```' + language + '\\n([\\s\\S]*?)^```', 'gm'))) {
    if (body.includes(holding)) return body;
  }
  throw new Error(`${path} has no ${language} block with ${holding}`);
}

// here makes text that is printed for the server of make run fit another one.
export function here(text, { port }) {
  if (!text.includes('8080')) throw new Error(`the text is not for the port of make run:\n${text}`);
  return text.replaceAll('8080', String(port));
}

// scratch is a folder in which packages can be imported by name.
export function scratch(t) {
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-docs-'));
  symlinkSync(fileURLToPath(new URL('../node_modules', import.meta.url)), join(folder, 'node_modules'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

// Program is a child process whose lines are waited for.
export class Program {
  #child;
  #exit;
  lines;

  static start(t, command, args, options = {}) {
    const program = new Program();
    program.lines = new Events(`${command} ${args.join(' ').slice(0, 60)}`);
    const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'], detached: true, ...options });
    program.#child = child;
    program.#exit = new Promise((resolve) => child.once('close', resolve));
    for (const name of ['stdout', 'stderr']) {
      let rest = '';
      child[name].setEncoding('utf8').on('data', (text) => {
        const lines = (rest + text).split('\n');
        rest = lines.pop();
        for (const line of lines) program.lines.push(name, line);
      });
      child[name].on('end', () => rest && program.lines.push(name, rest));
    }
    t.after(() => program.end());
    return program;
  }

  // module runs a text as a module of Node.
  static module(t, text) {
    const folder = scratch(t);
    writeFileSync(join(folder, 'main.mjs'), text);
    return Program.start(t, process.execPath, [join(folder, 'main.mjs')]);
  }

  // shell runs a text as a shell's script.
  static shell(t, text, options) {
    return Program.start(t, '/bin/sh', ['-c', text], options);
  }

  async prints(text) {
    return (await this.lines.next('stdout', (line) => line.includes(text))).data;
  }

  // exited resolves with the exit code, and what was printed.
  async exited() {
    const code = await within(this.#exit, 'end of the program', PATIENCE);
    return { code, stdout: this.lines.all('stdout').map(({ data }) => data).join('\n') };
  }

  // end ends the process and its children, which are one process group.
  async end() {
    try {
      process.kill(-this.#child.pid, 'SIGKILL');
    } catch {
      // Nobody is left.
    }
    await this.#exit;
  }
}
