<?php

// A Laravel application without Composer: the framework of Debian's
// php-laravel-framework, which has no autoloader for its Foundation.

require_once 'Illuminate/autoload.php';

spl_autoload_register(function (string $class): void {
    $homes = ['Illuminate\\Foundation\\' => '/usr/share/php/Illuminate/Foundation/', 'App\\' => __DIR__.'/app/'];
    foreach ($homes as $prefix => $dir) {
        $file = $dir.str_replace('\\', '/', substr($class, strlen($prefix))).'.php';
        if (str_starts_with($class, $prefix) && is_file($file)) {
            require_once $file;
        }
    }
});

require_once '/usr/share/php/Illuminate/Foundation/helpers.php';

$app = new Illuminate\Foundation\Application(__DIR__);
$app->singleton(Illuminate\Contracts\Http\Kernel::class, Illuminate\Foundation\Http\Kernel::class);
$app->singleton(Illuminate\Contracts\Console\Kernel::class, Illuminate\Foundation\Console\Kernel::class);
$app->singleton(Illuminate\Contracts\Debug\ExceptionHandler::class, Illuminate\Foundation\Exceptions\Handler::class);

return $app;
