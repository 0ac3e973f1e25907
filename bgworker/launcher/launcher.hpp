// The launcher: the one static background worker. Starts a mirror worker in every database that has the extension, its
// companions where they are wanted, and starts them again when they end.
#pragma once

namespace dbnet::bgworker {

// Registers it with the postmaster. Called once from _PG_init while shared_preload_libraries are loaded.
void register_launcher();

} // namespace dbnet::bgworker
