// Server is one real `holdfast serve` process on free ports of the loopback
// address. The program comes from HFTEST_BIN; go test sets it.

import { spawn } from 'node:child_process';
import { cp, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PATIENCE, within } from './events.mjs';

export const APP = { appId: 'app-id', key: 'app-key', secret: 'app-secret' };
// The same server serves these as well, each with one setting of its own.
export const COUNTED = { appId: 'counted', key: 'counted-key', secret: 'counted-secret' };
export const QUIET = { appId: 'quiet', key: 'quiet-key', secret: 'quiet-secret' };
export const CLOSED = { appId: 'closed', key: 'closed-key', secret: 'closed-secret' };

const app = (a, extra = '') => `[[apps]]\nid = "${a.appId}"\nkey = "${a.key}"\nsecret = "${a.secret}"\n${extra}\n`;
const CONFIG =
  app(APP) +
  app(COUNTED, 'subscription_count = true') +
  app(QUIET, 'client_events = "off"') +
  app(CLOSED, 'enabled = false');

export class Server {
  #folder;
  #process = null;
  #exit = null;
  #asked = false; // the process was told to end
  #log = '';

  // start waits until the server answers. It ends with the test or suite of t.
  // config is TOML that comes before the applications.
  static async start(t, { config = '' } = {}) {
    if (!process.env.HFTEST_BIN) {
      throw new Error('HFTEST_BIN is not set. Run: go test ./cmd/holdfast/hftest');
    }
    const server = new Server();
    server.#folder = await mkdtemp(join(tmpdir(), 'holdfast-js-'));
    await writeFile(join(server.#folder, 'holdfast.toml'), config + CONFIG);
    server.port = await freePort();
    server.adminPort = await freePort();
    t.after(() => server.close());
    await server.run();
    return server;
  }

  // run starts the process, on the same ports every time.
  async run() {
    const args = [
      'serve',
      '--config', join(this.#folder, 'holdfast.toml'),
      '--listen', `127.0.0.1:${this.port}`,
      '--admin-listen', `127.0.0.1:${this.adminPort}`,
      '--data-dir', this.#data,
    ];
    // A program with the race detector ends at the first race.
    const env = { ...cleanEnv(), GORACE: 'halt_on_error=1' };
    const child = spawn(process.env.HFTEST_BIN, args, { cwd: this.#folder, env, stdio: ['ignore', 'pipe', 'pipe'] });
    this.#process = child;
    this.#asked = false;
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (text) => (this.#log = (this.#log + text).slice(-20_000)));
    }
    this.#exit = new Promise((resolve) => {
      child.once('error', (err) => resolve({ code: -1, signal: null, err }));
      child.once('exit', (code, signal) => resolve({ code, signal }));
    });
    await this.#ready();
  }

  async #ready() {
    const deadline = Date.now() + PATIENCE;
    let gone = null;
    this.#exit.then((exit) => (gone = exit));
    for (;;) {
      try {
        const answer = await fetch(`${this.url}/up`);
        if (answer.ok) {
          await answer.text();
          return;
        }
      } catch {
        // Not listening yet.
      }
      if (gone || Date.now() > deadline) {
        throw new Error(`holdfast serve is not up (${JSON.stringify(gone)}):\n${this.#log}`);
      }
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  }

  get #data() {
    return join(this.#folder, 'data');
  }

  // erase loses the data directory. The process must not run.
  async erase() {
    await rm(this.#data, { recursive: true });
  }

  // backup copies the data directory and returns what puts the copy in its place
  // again. The process must not run, both times.
  async backup() {
    const copy = `${this.#data}.backup`;
    await cp(this.#data, copy, { recursive: true });
    return async () => {
      await this.erase();
      await cp(copy, this.#data, { recursive: true });
    };
  }

  get url() {
    return `http://127.0.0.1:${this.port}`;
  }

  get log() {
    return this.#log;
  }

  // kill is kill -9: no close frame, no goodbye.
  async kill() {
    this.#asked = true;
    this.#process.kill('SIGKILL');
    return within(this.#exit, 'exit after SIGKILL');
  }

  // terminate is an orderly stop.
  async terminate() {
    this.#asked = true;
    this.#process.kill('SIGTERM');
    return within(this.#exit, `exit after SIGTERM; log:\n${this.#log}`);
  }

  async close() {
    const alive = this.#process && this.#process.exitCode === null && this.#process.signalCode === null;
    const asked = this.#asked;
    if (alive) await this.kill();
    await rm(this.#folder, { recursive: true, force: true });
    if (this.#process && !alive && !asked) throw new Error(`holdfast serve ended by itself:\n${this.#log}`);
  }
}

// cleanEnv is the environment without what would configure the server.
function cleanEnv() {
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^(HOLDFAST|REVERB)_/.test(name)));
}

function freePort() {
  return new Promise((resolve, reject) => {
    const probe = createServer();
    probe.once('error', reject);
    probe.listen(0, '127.0.0.1', () => {
      const { port } = probe.address();
      probe.close(() => resolve(port));
    });
  });
}
