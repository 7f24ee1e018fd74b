// Press publishes numbered events, each of them once whatever happens to the server
// meanwhile: what is not known to have been taken is sent again under its idempotency
// key. The ledger checks what a reader was told against them.

import { createHash, randomBytes } from 'node:crypto';
import { Events, PATIENCE } from './events.mjs';

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const sum = (channel, n, text) => createHash('sha256').update(`${channel} ${n} ${text}`).digest('hex');

export class Press {
  // last: channel -> number of the last event that the server has taken.
  last = new Map();
  retries = 0;
  #sdk;
  #running = null;

  constructor(backend, channels) {
    this.#sdk = backend.sdk;
    for (const channel of channels) this.last.set(channel, 0);
  }

  // publish sends the channel's next events.
  async publish(channel, times = 1, params = {}) {
    for (let i = 0; i < times; i++) {
      const n = this.last.get(channel) + 1;
      await this.#send(channel, this.#data(channel, n), { idempotency_key: randomBytes(16).toString('hex'), ...params });
      this.last.set(channel, n);
    }
  }

  // flood publishes many events of some kilobytes, ten in a request.
  async flood(channel, times, bytes) {
    for (const end = this.last.get(channel) + times; this.last.get(channel) < end; ) {
      const n = this.last.get(channel);
      const batch = Array.from({ length: Math.min(10, end - n) }, (_, i) => ({
        channel, name: 'tick', data: this.#data(channel, n + 1 + i, bytes),
      }));
      await (await this.#sdk.triggerBatch(batch)).text();
      this.last.set(channel, n + batch.length);
    }
  }

  #data(channel, n, bytes = n % 300) {
    const text = randomBytes(bytes / 2).toString('hex');
    return { n, text, sum: sum(channel, n, text) };
  }

  async #send(channel, data, params) {
    for (const deadline = Date.now() + PATIENCE; ; this.retries++) {
      try {
        const answer = await this.#sdk.trigger(channel, 'tick', data, params);
        return void await answer.text();
      } catch (err) {
        const passing = [undefined, 409, 503].includes(err.status);
        if (!passing || Date.now() > deadline) throw new Error(`publish: ${err.status} ${err.body ?? err.error}`);
        await pause(20);
      }
    }
  }

  // start publishes on all channels until stop(), every few milliseconds.
  start(every = 15) {
    const run = { on: true };
    run.done = Promise.all([...this.last.keys()].map(async (channel) => {
      for (; run.on; await pause(every)) await this.publish(channel);
    }));
    run.done.catch(() => {}); // stop() tells
    this.#running = run;
  }

  async stop() {
    this.#running.on = false;
    await this.#running.done;
  }
}

// Ledger is what one application was told of one channel: numbers and gaps, in order.
export class Ledger {
  entries = []; // {n} or {gap}
  #channel;
  #seen;
  #corrupt = 0;

  constructor(name, channel) {
    this.#channel = channel;
    this.#seen = new Events(`${name}, ${channel}`);
  }

  event({ n, text, sum: said }) {
    if (said !== sum(this.#channel, n, text)) this.#corrupt++;
    this.entries.push({ n });
    this.#seen.push('tick', n);
  }

  gap(reason) {
    this.entries.push({ gap: reason });
    this.#seen.push('gap', reason);
  }

  // reaches waits for an event; the ledger may be behind it already.
  async reaches(n) {
    if (n > 0 && !this.#seen.all('tick', (seen) => seen === n).length) await this.#seen.next('tick', (seen) => seen === n);
  }

  numbers() {
    return this.entries.filter(({ gap }) => !gap).map(({ n }) => n);
  }

  gaps() {
    return this.entries.filter(({ gap }) => gap).map(({ gap }) => gap);
  }

  // verdict holds the entries against the events first to last. told: missing, and said
  // so in the place where they are missing. silent: missing without a word.
  verdict(first, last) {
    const found = { delivered: 0, duplicate: 0, disorder: 0, corrupt: this.#corrupt, told: 0, silent: 0 };
    const seen = new Set();
    let next = first;
    let gap = false;
    const missing = (count) => (found[gap ? 'told' : 'silent'] += count);
    for (const entry of this.entries) {
      if (entry.gap) {
        gap = true;
      } else if (seen.has(entry.n)) {
        found.duplicate++;
      } else if (entry.n < next) {
        found.disorder++;
      } else {
        missing(entry.n - next);
        seen.add(entry.n);
        next = entry.n + 1;
        gap = false;
        found.delivered++;
      }
    }
    missing(last + 1 - next);
    return found;
  }
}

// WHOLE is the verdict of a reader that missed nothing of so many events.
export const whole = (delivered) => ({ delivered, duplicate: 0, disorder: 0, corrupt: 0, told: 0, silent: 0 });
