// Hooks that keep DBNet's workers out of the way of DDL. In every process of a server that preloads the library.
//
//   DROP DATABASE, ALTER DATABASE … RENAME / SET TABLESPACE, CREATE DATABASE … TEMPLATE: the worker of the database is
//   stopped and waited for before PostgreSQL looks for other sessions; it comes back when the transaction has ended, if
//   the database is still there. CREATE, ALTER, DROP EXTENSION: the launcher is told at commit; a rollback changes
//   nothing. Servers, user mappings, foreign-data wrappers: the worker is woken after the commit
//   (WorkerSlot::configuration). COMMIT PREPARED: the worker is woken, for no callback of the transaction's own backend
//   runs there.
#pragma once

namespace dbnet::pg {

// Called once from _PG_init while shared_preload_libraries are loaded.
void install_lifecycle_hooks();

} // namespace dbnet::pg
