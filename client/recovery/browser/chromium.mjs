// A headless Chromium, driven over the DevTools protocol by a client of our own.

import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { WebSocket } from 'ws';

const PATIENCE = 20_000;

// How long the browser may take until it listens: its hundreds of megabytes may have to
// come from a busy disk first.
const START_PATIENCE = 90_000;

const find = (name) => process.env.PATH.split(delimiter).map((dir) => join(dir, name)).find(existsSync);

export class Chromium {
  #child;
  #folder;
  #ws;
  #waiting = new Map(); // id -> {resolve, reject}
  #last = 0;

  static async start() {
    const program = process.env.CHROMIUM ?? find('chromium') ?? find('chromium-browser') ?? find('google-chrome');
    if (!program) throw new Error('no Chromium: apt-get install -y chromium, or set CHROMIUM to its path');
    const browser = new Chromium();
    browser.#folder = mkdtempSync(join(tmpdir(), 'recovery-chromium-'));
    // It leads a process group of its own, and ends with this process even if that is
    // killed.
    const guard = find('setpriv') ? ['setpriv', '--pdeathsig', 'KILL', '--'] : [];
    const [command, ...args] = [...guard, program];
    const child = spawn(command, [
      ...args, '--headless=new', '--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--no-first-run',
      '--disable-background-networking', '--disable-component-update', '--disable-extensions',
      '--remote-debugging-port=0', `--user-data-dir=${browser.#folder}`, 'about:blank',
    ], { stdio: ['ignore', 'ignore', 'pipe'], detached: true });
    browser.#child = child;
    try {
      await browser.#connect(await endpoint(child));
    } catch (err) {
      await browser.close();
      throw err;
    }
    return browser;
  }

  async #connect(url) {
    this.#ws = new WebSocket(url);
    await new Promise((resolve, reject) => this.#ws.once('open', resolve).once('error', reject));
    this.#ws.on('message', (text) => {
      const { id, result, error } = JSON.parse(text);
      const call = this.#waiting.get(id);
      this.#waiting.delete(id);
      if (error) call?.reject(new Error(error.message));
      else call?.resolve(result);
    });
  }

  call(method, params = {}, sessionId) {
    const id = ++this.#last;
    const late = `${method}: no answer in ${PATIENCE} ms`;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(late)), PATIENCE);
      const ended = (end) => (value) => (clearTimeout(timer), end(value));
      this.#waiting.set(id, { resolve: ended(resolve), reject: ended(reject) });
      this.#ws.send(JSON.stringify({ id, method, params, sessionId }));
    });
  }

  // tab opens a page of its own sessionStorage.
  async tab(url) {
    const { targetId } = await this.call('Target.createTarget', { url });
    const { sessionId } = await this.call('Target.attachToTarget', { targetId, flatten: true });
    const call = (method, params) => this.call(method, params, sessionId);
    const evaluate = async (expression) => {
      const { result, exceptionDetails } = await call('Runtime.evaluate', { expression, returnByValue: true, awaitPromise: true });
      if (exceptionDetails) throw new Error(exceptionDetails.exception?.description ?? exceptionDetails.text);
      return result.value;
    };
    return {
      evaluate,
      reload: async () => {
        await evaluate('window.old = true');
        await call('Page.reload');
        await until(async () => (await evaluate('!window.old && document.readyState')) === 'complete', 'the reload');
      },
      close: () => this.call('Target.closeTarget', { targetId }),
    };
  }

  // close ends the browser and all its children, which are one process group, and
  // waits until the last is gone.
  async close() {
    this.#ws?.terminate();
    for (const deadline = Date.now() + 5000; signal(this.#child.pid, 0); await pause(50)) {
      signal(this.#child.pid, Date.now() < deadline ? 'SIGTERM' : 'SIGKILL');
    }
    rmSync(this.#folder, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 });
  }
}

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

// signal tells whether the group of a process had anybody to signal.
function signal(pid, name) {
  try {
    return pid !== undefined && process.kill(-pid, name);
  } catch {
    return false;
  }
}

// endpoint waits for the address that Chromium prints.
function endpoint(child) {
  return new Promise((resolve, reject) => {
    let text = '';
    const timer = setTimeout(() => reject(new Error(`Chromium does not listen after ${START_PATIENCE} ms:\n${text}`)), START_PATIENCE);
    child.once('error', reject);
    child.once('exit', (code) => reject(new Error(`Chromium ended with ${code}:\n${text}`)));
    child.stderr.setEncoding('utf8').on('data', (more) => {
      text += more;
      const found = /DevTools listening on (ws:\S+)/.exec(text);
      if (found) {
        clearTimeout(timer);
        resolve(found[1]);
      }
    });
  });
}

export async function until(holds, what) {
  const deadline = Date.now() + PATIENCE;
  for (;;) {
    if (await holds().catch(() => false)) return;
    if (Date.now() > deadline) throw new Error(`no ${what} within ${PATIENCE} ms`);
    await pause(50);
  }
}
