<?php

return ['driver' => 'array', 'cookie' => 'session', 'path' => '/', 'lifetime' => 10];
