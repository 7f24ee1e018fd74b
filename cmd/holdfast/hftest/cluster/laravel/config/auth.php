<?php

return [
    'defaults' => ['guard' => 'header', 'passwords' => 'none'],
    'guards' => ['header' => ['driver' => 'header']],
    'providers' => [],
];
