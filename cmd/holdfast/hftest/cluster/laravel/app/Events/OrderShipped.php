<?php

namespace App\Events;

use Illuminate\Broadcasting\Channel;
use Illuminate\Broadcasting\InteractsWithSockets;
use Illuminate\Broadcasting\PresenceChannel;
use Illuminate\Broadcasting\PrivateChannel;
use Illuminate\Contracts\Broadcasting\ShouldBroadcastNow;

class OrderShipped implements ShouldBroadcastNow
{
    use InteractsWithSockets;

    public function __construct(public int $id, public string $note)
    {
    }

    public function broadcastOn(): array
    {
        return [new Channel('orders'), new PrivateChannel('orders.'.$this->id), new PresenceChannel('room')];
    }
}
