-- DBNet's settings: defaults, units, limits and who may change them.
LOAD 'dbnet';
SELECT name, setting, unit, context, vartype, min_val, max_val, boot_val = setting AS is_default
FROM pg_settings WHERE name LIKE 'dbnet.%' AND name NOT IN ('dbnet.respected_managers') ORDER BY name;
SELECT count(*) FROM pg_settings WHERE name LIKE 'dbnet.%' AND short_desc ~ '\.$';

-- limits
SET dbnet.hold_percent = 101;
SET dbnet.hold_objects = -1;
SET dbnet.hold_minimum = -1;
SET dbnet.hold_objects = 0;
RESET dbnet.hold_objects;

-- only from the configuration file
SET dbnet.actuate = off;
SET dbnet.compare_interval = '1h';
SET dbnet.report_lock_timeout = 10;

-- a list of names
SET dbnet.respected_managers = 'one, two ,three';
SHOW dbnet.respected_managers;
SET dbnet.respected_managers = '';
SET dbnet.respected_managers = 'one,,two';
SET dbnet.respected_managers = 'one,';
SET dbnet.respected_managers = ',';
RESET dbnet.respected_managers;

-- addresses
SET dbnet.gateway_listen = '127.0.0.1:4318';
SET dbnet.gateway_listen = 'example.org:4318';
SET dbnet.api_listen = '127.0.0.1';
RESET dbnet.gateway_listen;

-- origins of pages
SET dbnet.gateway_allowed_origins = 'https://shop.example, http://localhost:*';
SET dbnet.gateway_allowed_origins = '*';
SET dbnet.gateway_allowed_origins = 'https://shop.example, https://shop.example/';
SET dbnet.gateway_allowed_origins = 'https://shop.example,';
RESET dbnet.gateway_allowed_origins;

-- the prefix is ours: a misspelt setting is an error
SET dbnet.hold_object = 1;

-- only superusers change what protects devices
CREATE ROLE regress_settings_user;
SET ROLE regress_settings_user;
SET dbnet.hold_objects = 1000;
SET dbnet.respected_managers = '';
RESET ROLE;
DROP ROLE regress_settings_user;
