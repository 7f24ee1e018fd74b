<?php

return [
    'default' => 'signed',
    'connections' => [
        'redis' => ['driver' => 'redis', 'connection' => 'default'],
        'signed' => ['driver' => 'signed', 'connection' => 'default'],
    ],
];
