<?php

// broadcast.php FROM TO: an event for each number.

$app = require __DIR__.'/bootstrap.php';
$app->make(Illuminate\Contracts\Console\Kernel::class)->bootstrap();

for ($n = (int) $argv[1]; $n <= (int) $argv[2]; $n++) {
    broadcast(new App\Events\OrderShipped($n, "déjà / \"{$n}\""));
}
