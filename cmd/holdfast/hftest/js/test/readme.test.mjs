// README as printed: its programs run against the server, its commands reach it.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { Backend, stage } from '../harness/backend.mjs';
import { Program, ROOT, block, here } from '../harness/docs.mjs';
import { PATIENCE } from '../harness/events.mjs';
import { Proxy } from '../harness/proxy.mjs';
import { APP, Server } from '../harness/server.mjs';

const command = (text, server) => text.replace('bin/holdfast publish', `"$HFTEST_BIN" publish --url ${server.url}`);

// occupied waits until a channel has a subscriber.
async function occupied(backend, channel) {
  for (const deadline = Date.now() + PATIENCE; ;) {
    const answer = await (await backend.sdk.get({ path: `/channels/${channel}` })).json();
    if (answer.occupied) return;
    assert.ok(Date.now() < deadline, `nobody has subscribed to ${channel}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

describe('README', { concurrency: true }, () => {
  const edge = stage();

  it('its page receives what its publish command sends', async (t) => {
    const server = await Server.start(t);
    const script = block('README.md', 'html', 'new Pusher').match(/<script>([\s\S]*?)<\/script>/)[1];
    const page = Program.module(t, `import Pusher from 'pusher-js';\n${here(script, server)}`);
    await occupied(await Backend.start(t, server), 'news');
    execFileSync('/bin/sh', ['-c', command(block('README.md', 'sh', 'holdfast publish').trim(), server)], { timeout: PATIENCE });
    await page.prints('It works');
  });

  it('its page with recovery is given what it missed', async (t) => {
    const server = await Server.start(t);
    const backend = await Backend.start(t, server);
    const proxy = await Proxy.start(t, server);
    const page = Program.module(t, here(block('README.md', 'js', 'new Pusher'), proxy));
    await occupied(backend, 'news');
    await backend.sdk.trigger('news', 'headline', { title: 'one' });
    await page.prints('one');
    proxy.hold();
    proxy.cut('rst');
    await backend.sdk.trigger('news', 'headline', { title: 'two' });
    proxy.release();
    await page.prints('two');
    assert.equal((await page.lines.all('stdout')).length, 2);
  });

  it('its Echo with recovery is given what it missed, and told what it cannot have', async (t) => {
    const server = await Server.start(t);
    const backend = await Backend.start(t, server);
    const proxy = await Proxy.start(t, server);
    const env = { VITE_REVERB_APP_KEY: APP.key, VITE_REVERB_HOST: '127.0.0.1', VITE_REVERB_PORT: proxy.port, VITE_REVERB_SCHEME: 'http' };
    const page = Program.module(t, [
      'globalThis.window = globalThis; window.location = { reload: () => console.log("reload") };',
      block('README.md', 'js', 'window.Echo = new Echo').replaceAll('import.meta.env', `(${JSON.stringify(env)})`),
      block('README.md', 'js', 'window.Echo.connector.pusher'),
      'window.Echo.channel("orders").listen(".shipped", ({ id }) => console.log(`shipped ${id}`));',
    ].join('\n'));
    await occupied(backend, 'orders');
    await backend.sdk.trigger('orders', 'shipped', { id: 1 });
    await page.prints('shipped 1');
    proxy.hold();
    proxy.cut('rst');
    await backend.sdk.trigger('orders', 'shipped', { id: 2 });
    proxy.release();
    await page.prints('shipped 2');

    proxy.hold();
    proxy.cut('fin');
    await server.kill();
    await server.erase();
    await server.run();
    proxy.release();
    await page.prints('reload');
  });

  it('its package is packed', (t) => {
    const folder = mkdtempSync(join(tmpdir(), 'holdfast-pack-'));
    t.after(() => rmSync(folder, { recursive: true, force: true }));
    symlinkSync(join(ROOT, 'client'), join(folder, 'client'));
    const line = block('README.md', 'sh', 'npm pack');
    const printed = execFileSync('/bin/sh', ['-c', line], { cwd: folder, timeout: PATIENCE, encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] });
    assert.ok(line.includes(printed.trim()), `it prints ${printed.trim()}`);
  });

  it('its history rules are a configuration', (t) => {
    const folder = mkdtempSync(join(tmpdir(), 'holdfast-rules-'));
    t.after(() => rmSync(folder, { recursive: true, force: true }));
    writeFileSync(join(folder, 'holdfast.toml'), block('README.md', 'toml', '[[history]]'));
    execFileSync(process.env.HFTEST_BIN, ['check-config'], { cwd: folder, timeout: PATIENCE, stdio: 'pipe' });
  });

  it('its event stream and its poll show what is published', async (t) => {
    const [stream, stands, waits] = here(block('README.md', 'sh', '/sse'), edge.server).trim().split('\n');
    await edge.backend.sdk.trigger('news', 'headline', { title: 'before' });
    const curl = Program.shell(t, stream);
    await curl.prints('before');
    // The answer of the poll is printed; the shell sets no echo of its own.
    const poll = Program.shell(t, `${stands}\necho "stands at $at"\n${waits}`);
    assert.match(await poll.prints('stands at'), /stands at [A-Za-z0-9]{8,16}:[0-9]+$/);
    await edge.backend.sdk.trigger('news', 'headline', { title: 'after' });
    await curl.prints('after');
    const { code, stdout } = await poll.exited();
    assert.equal(code, 0);
    const { channels } = JSON.parse(stdout.split('\n').at(-1));
    assert.deepEqual(channels[0].events.map(({ data }) => JSON.parse(data).title), ['after']);
  });
});
