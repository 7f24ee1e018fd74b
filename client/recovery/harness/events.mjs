// Events records what an emitter says, in order, and waits for the next match.
//
// It has a cursor: next() takes the first match behind it and moves it there, so
// a script of next() calls also states the order. Nothing is lost between calls
// and no wait is longer than needed; a wait that ends names what came instead.

import assert from 'node:assert/strict';

// The longest that anything may take here. Far above what the server needs, so
// that only a hang meets it, even in a build with the race detector.
export const PATIENCE = 20_000;

export class Events {
  #name;
  #seen = [];
  #cursor = 0;
  #wake = null;

  constructor(name) {
    this.#name = name;
  }

  push(event, data, more = {}) {
    this.#seen.push({ event, data, ...more });
    this.#wake?.();
  }

  // next resolves with the first record of that event, behind the cursor, for
  // which where() holds.
  async next(event, where = () => true, patience = PATIENCE) {
    const deadline = Date.now() + patience;
    for (;;) {
      for (; this.#cursor < this.#seen.length; this.#cursor++) {
        const record = this.#seen[this.#cursor];
        if (record.event === event && where(record.data, record)) {
          this.#cursor++;
          return record;
        }
      }
      await this.#change(deadline, event);
    }
  }

  // all lists the records of an event, or of every event, so far, wherever the cursor is.
  all(event, where = () => true) {
    return this.#seen.filter((r) => (!event || r.event === event) && where(r.data, r));
  }

  // none states that an event has not come so far. Say it after something that
  // the server sends later, or it says nothing.
  none(event, where = () => true) {
    const found = this.all(event, where);
    assert.equal(found.length, 0, `${this.#name}: unexpected ${event}: ${JSON.stringify(found)}`);
  }

  #change(deadline, event) {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#wake = null;
        const seen = this.#seen.map((r) => `${r.event} ${JSON.stringify(r.data)}`).slice(-20).join('\n  ');
        reject(new Error(`${this.#name}: no ${event} in time; the last events were:\n  ${seen}`));
      }, Math.max(0, deadline - Date.now()));
      this.#wake = () => {
        clearTimeout(timer);
        this.#wake = null;
        resolve();
      };
    });
  }
}

// within bounds a promise that has no deadline of its own.
export function within(promise, what, patience = PATIENCE) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no ${what} within ${patience} ms`)), patience);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}
