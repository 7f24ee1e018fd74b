<?php

namespace App\Broadcasting;

use Illuminate\Broadcasting\Broadcasters\RedisBroadcaster;

/**
 * The framework's broadcaster, which publishes through Redis and signs nothing: a client of
 * the Pusher protocol needs its right to a channel signed.
 */
class SignedRedisBroadcaster extends RedisBroadcaster
{
    public function validAuthenticationResponse($request, $result)
    {
        $signed = $request->socket_id.':'.$request->channel_name;
        $answer = [];
        if (! is_bool($result)) {
            $answer['channel_data'] = json_encode(json_decode(parent::validAuthenticationResponse($request, $result))->channel_data);
            $signed .= ':'.$answer['channel_data'];
        }
        $answer['auth'] = getenv('HOLDFAST_KEY').':'.hash_hmac('sha256', $signed, getenv('HOLDFAST_SECRET'));

        return $answer;
    }
}
