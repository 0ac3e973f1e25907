// Entry of the library: what happens when PostgreSQL loads it, and nothing else.
#include "capture/capture.hpp"
#include "mirror/definition/write_check.hpp"
#include "pg/guard.hpp"
#include "pg/lifecycle.hpp"
#include "pg/shared_memory.hpp"
#include "provenance/provenance.hpp"
#include "settings.hpp"

#include "bgworker/launcher/launcher.hpp"

extern "C" {
PG_MODULE_MAGIC;
PGDLLEXPORT void _PG_init(void);
}

extern "C" void _PG_init(void) {
    dbnet::pg::enter([] {
        dbnet::settings::define();
        dbnet::capture::install();
        dbnet::capture::set_row_check(dbnet::mirror::check_written_row);
        // Without preload there are no processes: functions that need one say so (pg::require_shared).
        // pg_upgrade runs servers that must not be watched or changed by anybody else.
        if (!process_shared_preload_libraries_in_progress || IsBinaryUpgrade)
            return;
        dbnet::pg::reserve_shared_memory();
        dbnet::pg::install_lifecycle_hooks();
        dbnet::provenance::install();
        dbnet::bgworker::register_launcher();
    });
}
