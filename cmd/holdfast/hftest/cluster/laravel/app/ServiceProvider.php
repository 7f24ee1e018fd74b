<?php

namespace App;

use App\Broadcasting\SignedRedisBroadcaster;
use Illuminate\Auth\GenericUser;
use Illuminate\Broadcasting\BroadcastManager;
use Illuminate\Http\Request;
use Illuminate\Support\Facades\Auth;
use Illuminate\Support\Facades\Broadcast;
use Illuminate\Support\ServiceProvider as Base;

class ServiceProvider extends Base
{
    public function boot(): void
    {
        // Who somebody is the test says in a header.
        Auth::viaRequest('header', fn (Request $request) => $request->header('X-User')
            ? new GenericUser(['id' => $request->header('X-User')]) : null);

        $this->app->make(BroadcastManager::class)->extend('signed', fn ($app, array $config) => new SignedRedisBroadcaster(
            $app->make('redis'), $config['connection'], $app['config']->get('database.redis.options.prefix', '')
        ));

        Broadcast::routes(['middleware' => []]);
        Broadcast::channel('orders.{id}', fn ($user, $id) => $user->id === $id);
        Broadcast::channel('room', fn ($user) => ['name' => 'user '.$user->id]);
    }
}
