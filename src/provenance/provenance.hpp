// Provenance: who changed which row, in which statement, call and activation, and because of what. It watches backends
// by PostgreSQL's hooks, numbers what it sees while the transaction runs, and writes it at the commit. It knows nothing
// of Kubernetes; mirrors' rows come by way of capture.
#pragma once

namespace dbnet::provenance {

// Called once from _PG_init while shared_preload_libraries are loaded.
void install();

} // namespace dbnet::provenance
