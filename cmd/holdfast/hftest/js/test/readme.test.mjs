// README's first screen, as printed: its page's script runs against the server,
// and its publish command reaches it.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import Pusher from 'pusher-js';
import { PATIENCE, within } from '../harness/events.mjs';
import { Server } from '../harness/server.mjs';

const README = readFileSync(new URL('../../../../../README.md', import.meta.url), 'utf8');

// block is the README's first fenced block of a language that holds a text.
function block(language, holding) {
  for (const [, body] of README.matchAll(new RegExp('```' + language + '\\n([\\s\\S]*?)```', 'g'))) {
    if (body.includes(holding)) {
      return body;
    }
  }
  throw new Error(`README has no ${language} block with ${holding}`);
}

describe('README', () => {
  it('its page receives what its publish command sends', async (t) => {
    const server = await Server.start(t);
    const script = block('html', 'new Pusher').match(/<script>([\s\S]*?)<\/script>/)[1];
    assert.ok(script.includes('wsPort: 8080'), 'the page connects to the port of make run');

    let client;
    const printed = new Promise((resolve) => {
      class Page extends Pusher {
        constructor(...args) {
          super(...args);
          client = this;
        }
      }
      new Function('Pusher', 'console', script.replace('8080', String(server.port)))(Page, { log: resolve });
    });
    t.after(() => client.disconnect());
    await within(
      new Promise((resolve) => client.channel('news').bind('pusher:subscription_succeeded', resolve)),
      'the subscription of README\'s page',
    );

    const command = block('sh', 'holdfast publish').trim();
    execFileSync('/bin/sh', ['-c', command.replace('bin/holdfast publish', `"$HFTEST_BIN" publish --url ${server.url}`)], {
      timeout: PATIENCE,
    });
    assert.equal(await within(printed, 'the event'), 'It works');
  });
});
